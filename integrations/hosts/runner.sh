# What Andon runs on a host, copied here once and named by its content. Called as: sh runner ROOT VERB KEY [WORD…]
#
# A deployment is a directory, jobs/KEY: its order, its plan, and what came of it. Whatever takes time is a detached job
# that holds a lock while it lives, so that a lost connection, a second call or a restarted host cannot be confused:
# no `end` and no lock means that it was interrupted. Each verb may be called again and again.
set -u
umask 022
PATH=$PATH:/usr/sbin:/sbin
export PATH
root=$1 verb=$2 key=${3-}
home=$root/.andon
job=$home/jobs/$key
child='' stopped=0 why=''

do_drain() { :; }
do_stop() { :; }
do_start() { :; }
do_undrain() { :; }
do_running() { :; }
do_fetch() { :; }
do_health() { :; }

# Never echo: what it is given may hold backslashes.
say() { printf '%s %s\n' "$1" "$2"; }
refuse() { say refused "$1"; exit 3; }

# The host's own lock, for a moment: what is decided here is decided by one.
lock() { exec 7>>"$home/mutex"; flock -w 10 7 || refuse "another call to this host does not end"; }
unlock() { exec 7>&-; }

write() { printf '%s\n' "$2" >"$1.$$" && mv -f "$1.$$" "$1"; }
# The first two lines of a file, as $first and $second: without another process, since a host is looked at often.
read_lines() {
    first='' second=''
    if [ -f "$1" ]; then { IFS= read -r first && IFS= read -r second; } <"$1"; fi
}
lives() { [ -e "$1" ] && ! flock -n -s 5 5<"$1"; }
read_link() { link=$(readlink "$root/current" 2>/dev/null) || link=''; link=${link##*/}; }
hundredths() { IFS=' .' read -r seconds part rest </proc/uptime; echo $((seconds * 100 + 1$part - 100)); }

# ---- what can be asked ------------------------------------------------------------------------------------------

# Whether everything is here that will be needed; the words behind the digest are programs.
greet() {
    hex=$1
    shift
    for tool in flock setsid timeout sha256sum tar readlink tail head find "$@"; do
        case $tool in
        curl-or-wget) command -v curl >/dev/null || command -v wget >/dev/null || refuse "neither curl nor wget is there" ;;
        *) command -v "$tool" >/dev/null || refuse "the program $tool is missing" ;;
        esac
    done
    for directory in "$home/jobs" "$home/incoming" "$root/releases"; do
        [ -d "$directory" ] || mkdir -p "$directory" 2>/dev/null
        [ -w "$directory" ] || refuse "$directory cannot be written to"
    done
    if [ -d "$root/releases/$hex" ]; then echo 'have yes'; else echo 'have no'; fi
    look
}

# The order, and behind it the plan, come from the standard input; the first order under a key stays.
prepare() {
    IFS= read -r order || refuse "the order did not arrive"
    new=$home/jobs/.new-$key.$$
    mkdir "$new" && cat >"$new/plan" && printf '%s\n' "$order" >"$new/order" && printf '%s\n' "$1" >"$new/hex" &&
        date +%s >"$new/created" || { rm -rf "$new"; refuse "the job could not be written; is the disk full?"; }
    [ "$(tail -n 1 "$new/plan")" = '# end' ] || { rm -rf "$new"; refuse "the plan did not arrive whole"; }
    lock
    if [ -d "$job" ]; then
        rm -rf "$new"
    else
        for other in "$home"/jobs/*/; do
            [ ! -d "$other" ] || [ -e "$other/started" ] || [ -e "$other/sealed" ] || write "$other/sealed" superseded
        done
        mv "$new" "$job"
    fi
    unlock
    look
}

look() {
    read_lines "$job/sealed"
    reason=$first
    if [ ! -f "$job/order" ]; then
        if [ -n "$reason" ]; then echo 'state sealed'; say sealed "$reason"; else echo 'state none'; fi
        return
    fi
    read_lines "$job/order"
    say order "$first"
    [ -z "$reason" ] || say sealed "$reason"
    # Whether it lives is asked before how it ended: what ends in between is seen as ended the next time.
    state=waiting
    if [ -e "$job/started" ]; then
        state=interrupted
        if lives "$job/alive"; then state=running; elif [ -e "$job/end" ]; then state=ended; fi
    elif [ -n "$reason" ]; then state=sealed
    elif [ -e "$job/busy" ]; then state=busy
    fi
    say state "$state"
    read_lines "$job/step"
    say step "$first"
    read_lines "$job/hex"
    hex=$first
    if [ -d "$root/releases/$hex" ]; then echo 'have yes'; else echo 'have no'; fi
    if [ "$state" = waiting ] || [ "$state" = busy ]; then
        read_lines "$job/created"
        say age "$(($(date +%s) - first))"
    fi
    brought=none
    if [ ! -e "$job/bring.end" ] && lives "$job/bring.alive"; then echo 'bring running'
    else
        read_lines "$job/bring.end"
        say bring "${first:-none}"
        say brought "$second"
        brought=$first
        if [ -z "$brought" ]; then say room "$(df -Pk "$home" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)"; fi
    fi
    read_lines "$job/end"
    say end "$first"
    say said "$second"
    if [ "$first" = failed ] || [ "$brought" = failed ] || [ "$state" = interrupted ]; then
        echo log
        for log in bring.log log probe; do [ ! -s "$job/$log" ] || tail -c 4000 "$job/$log"; done
    fi
}

begin() {
    [ -f "$job/order" ] || refuse "nothing was prepared under this key"
    rm -f "$job/busy"
    if [ ! -e "$job/started" ] && [ ! -e "$job/sealed" ]; then
        setsid sh "$0" "$root" job "$key" </dev/null >>"$job/log" 2>&1 &
        turns=0
        until [ -e "$job/started" ] || [ -e "$job/sealed" ] || [ -e "$job/busy" ] || [ $turns -ge 100 ]; do
            sleep 0.05
            turns=$((turns + 1))
        done
    fi
    look
}

bring() {
    [ -f "$job/order" ] || refuse "nothing was prepared under this key"
    if [ ! -e "$job/bring.end" ] && [ ! -e "$job/sealed" ] && ! lives "$job/bring.alive"; then
        setsid sh "$0" "$root" carry "$key" </dev/null >>"$job/bring.log" 2>&1 &
        sleep 0.1
    fi
    look
}

# Nothing begins under this key any more on this host; what runs is stopped if `stop` is said.
seal() {
    mkdir -p "$job" || refuse "the job could not be written; is the disk full?"
    lock
    [ -e "$job/end" ] || [ -e "$job/sealed" ] || write "$job/sealed" "$1"
    if [ "${2-}" = stop ]; then
        read_lines "$job/pid"
        ! lives "$job/alive" || kill -TERM "$first" 2>/dev/null
    fi
    read_lines "$job/bring.pid"
    ! lives "$job/bring.alive" || kill -TERM "$first" 2>/dev/null
    unlock
    look
}

# The artifact will not come: for this reason.
spoil() {
    [ -e "$job/bring.end" ] || { printf 'failed\n%s\n' "$1" >"$job/bring.end.$$" && mv -f "$job/bring.end.$$" "$job/bring.end"; } ||
        refuse "$1; and that could not be written down"
    look
}

# What runs here: the link, what was last found healthy, and what the service itself says. The plan comes as input.
running() {
    plan=$(cat)
    eval "$plan"
    read_link
    say current "$link"
    read_lines "$home/now"
    say now "$first"
    say version "$second"
    about_current
    do_running >"$home/said.$$" 2>/dev/null && echo 'answers yes'
    echo log
    head -c 4000 "$home/said.$$"
    rm -f "$home/said.$$"
}

# ---- running commands -------------------------------------------------------------------------------------------

step() { write "$job/step" "$1"; say == "$1"; }

# Seconds and a command. It has a session's group of its own (timeout), which is ended when its time is over or when
# we are told to stop; this returns when it is gone. Its output is ours.
run() {
    seconds=$1 program=$2
    timeout -k 5 "$@" </dev/null 7>&- 8>&- 9>&- &
    child=$!
    while :; do
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    child=''
    case $code in
    0) return 0 ;;
    124 | 137) why="$program took longer than $seconds s and was killed" ;;
    125 | 126) why="$program could not be run" ;;
    127) why="there is no program $program on this host" ;;
    *) why="$program ended with $code" ;;
    esac
    return 1
}

nap() { run 600 sleep "$1" || :; }

# Whether an address answers 2xx, as seen from here.
http_ok() {
    if command -v curl >/dev/null; then
        code=''
        run "$1" curl -sS -o /dev/null --max-time "$1" -w '%{http_code}\n' -- "$2" >"$job/code" || return 1
        read_lines "$job/code"
        case $first in 2??) return 0 ;; esac
        why="it answers $first"
        return 1
    fi
    run "$1" wget -q -O /dev/null --max-redirect=0 -- "$2"
}

http_get() {
    if command -v curl >/dev/null; then run "$1" curl -fsS --max-time "$1" -- "$2"; else run "$1" wget -q -O - -- "$2"; fi
}

http_fetch() {
    if command -v curl >/dev/null; then run "$1" curl -fsSL -C - -o "$3" -- "$2"
    else run "$1" wget -q -c -O "$3" -- "$2"; fi
}

healthy() { do_health >"$job/probe" 2>&1; }

# Healthy so many times in a row, within hundredths of a second.
becomes_healthy() {
    until=$(($(hundredths) + A_within)) times=0
    while :; do
        if healthy; then times=$((times + 1)); else times=0; fi
        [ "$times" -lt "$A_times" ] || return 0
        [ "$stopped" = 0 ] || [ "$1" = back ] || return 1
        if [ "$(hundredths)" -ge "$until" ]; then
            why="it was not healthy within $A_within_text${why:+: $why}"
            return 1
        fi
        nap "$A_every"
    done
}

about() { A_hex=$1 A_version=$2 A_release=$root/releases/$1; tell; }

about_current() {
    read_link
    read_lines "$home/now"
    if [ "$first" = "$link" ]; then about "$link" "$second"; else about "$link" ''; fi
}

tell() {
    ANDON_DIGEST=sha256:$A_hex ANDON_VERSION=$A_version ANDON_RELEASE=$A_release ANDON_ROOT=$root
    ANDON_TARGET=$A_target ANDON_HOST=$A_host
    A_digest=$ANDON_DIGEST A_root=$root
    export ANDON_DIGEST ANDON_VERSION ANDON_RELEASE ANDON_ROOT ANDON_TARGET ANDON_HOST
}

point_to() { ln -sfn "releases/$1" "$root/.current.$$" && mv -T "$root/.current.$$" "$root/current"; }

# ---- the two jobs -----------------------------------------------------------------------------------------------

finish() { printf '%s\n%s\n' "$2" "$3" >"$job/$1.$$" && mv -f "$job/$1.$$" "$job/$1"; exit 0; }

# Brings the artifact here: fetched or already uploaded, then judged by its digest, unpacked, and named in one move.
carry() {
    exec 9>>"$job/bring.alive"
    flock -w 2 9 || exit 0
    [ ! -e "$job/bring.end" ] && [ ! -e "$job/sealed" ] || exit 0
    write "$job/bring.pid" $$
    trap 'exit 0' TERM
    . "$job/plan"
    about "$A_hex" "$A_version"
    part=$home/incoming/$A_hex new=$root/releases/.new-$A_hex
    if [ ! -d "$A_release" ]; then
        trap 'stopped=1; [ -z "$child" ] || kill -TERM "$child"' TERM
        if ! sound; then do_fetch || { [ "$stopped" = 0 ] || exit 0; finish bring.end failed "it could not be fetched: $why"; }; fi
        [ "$stopped" = 0 ] || exit 0
        sound || { rm -f "$part"; finish bring.end failed "what arrived is not what was announced (its sha256 differs)"; }
        rm -rf "$new" && mkdir "$new" &&
            run "$A_unpack" tar -xof "$part" -C "$new" --no-same-permissions --strip-components="$A_strip" || {
            [ "$stopped" = 0 ] || exit 0
            rm -rf "$new"
            finish bring.end failed "it could not be unpacked: ${why:-no room for it}"
        }
        rm -rf "$new/.andon-digest"
        printf 'sha256:%s\n' "$A_hex" >"$new/.andon-digest" && find "$new" -type f -exec chmod a-w {} + &&
            mv -T "$new" "$A_release" || finish bring.end failed "it could not be put in its place; is the disk full?"
        rm -f "$part"
    fi
    finish bring.end ok ''
}

sound() { [ -f "$part" ] && [ "$(sha256sum <"$part" | cut -c 1-64)" = "$A_hex" ]; }

# Changes this host: drain, stop, switch, start, health, undrain; whatever goes wrong, it goes back to what it had.
job() {
    exec 9>>"$job/alive" 8>>"$home/busy"
    flock -w 2 9 || exit 0
    lock
    if [ -e "$job/started" ] || [ -e "$job/sealed" ]; then exit 0; fi
    flock -n 8 || { : >"$job/busy"; exit 0; }
    write "$job/pid" $$
    trap 'stopped=1; [ -z "$child" ] || kill -TERM "$child"' TERM
    : >"$job/started"
    unlock
    . "$job/plan"
    wanted=$A_hex wanted_version=$A_version is_switched=0 is_started=0
    [ -d "$root/releases/$wanted" ] || finish end failed "the artifact is not on this host any more"
    about_current
    # What it goes back to is what was last found healthy, also where the link points at what never was.
    before=$link before_version=$A_version
    if [ -n "$first" ] && [ -d "$root/releases/$first" ]; then before=$first before_version=$second; fi
    if [ "$link" = "$wanted" ] && [ "$first" = "$wanted" ] && runs_already; then settle; fi
    step drain
    if [ -n "$link" ]; then
        do_drain || go_back "its drain failed: $why"
        [ "$stopped" = 1 ] || nap "$A_drained"
        [ "$stopped" = 0 ] || go_back ''
        step stop
        do_stop || go_back "its stop failed: $why"
    fi
    [ "$stopped" = 0 ] || go_back ''
    step switch
    about "$wanted" "$wanted_version"
    point_to "$wanted" || go_back "its link could not be switched; is the disk full?"
    is_switched=1
    step start
    is_started=1
    do_start || go_back "its start failed: $why"
    step health
    why=''
    becomes_healthy forth || go_back "$why"
    step undrain
    do_undrain || go_back "its undrain failed: $why"
    settle
}

# Whether there is nothing to do but to let it have its traffic.
runs_already() {
    about "$wanted" "$wanted_version"
    healthy && do_running >"$job/said" 2>&1 || return 1
    [ ! -s "$job/said" ] || grep -q "$wanted" "$job/said" || return 1
    do_undrain
}

settle() {
    printf '%s\n%s\n' "$wanted" "$wanted_version" >"$home/now.$$" && mv -f "$home/now.$$" "$home/now" ||
        finish end failed "it runs, but that could not be written down; is the disk full?"
    touch "$root/releases/$wanted"
    lock
    tidy
    unlock
    finish end ok ''
}

# To what ran before, whatever the reason; empty: because it was asked to stop.
go_back() {
    reason=$1 verdict=failed
    if [ "$stopped" = 1 ]; then reason='it was asked to stop' verdict=cancelled; fi
    trap : TERM
    say == "$reason"
    [ ! -s "$job/probe" ] || tail -c 1000 "$job/probe"
    write "$job/step" back
    if [ "$is_started" = 1 ] && ! do_stop && [ -n "$before" ]; then
        finish end failed "$reason; it could not go back, because its stop failed: $why. It takes no traffic"
    fi
    if [ -z "$before" ]; then
        rm -f "$root/current"
        finish end "$verdict" "$reason; nothing ran before, and nothing runs now"
    fi
    about "$before" "$before_version"
    if [ "$is_switched" = 1 ]; then
        point_to "$before" || finish end failed "$reason; it could not go back, because the link could not be switched"
    fi
    why=''
    if [ "$is_started" = 1 ] || ! healthy; then
        do_start || finish end failed "$reason; it could not go back, because its start failed: $why. It takes no traffic"
        becomes_healthy back || finish end failed "$reason; it went back, but $why. It takes no traffic"
    fi
    do_undrain || finish end failed "$reason; it went back, but its undrain failed: $why"
    finish end "$verdict" "$reason; it runs what it ran before"
}

# Keeps what serves, what anything prepared needs, and the last few; and the records of the last deployments.
tidy() {
    read_link
    needed=" $wanted $before $link "
    for other in "$home"/jobs/*/; do
        if [ ! -e "$other/end" ] && [ ! -e "$other/sealed" ]; then
            read_lines "$other/hex"
            needed="$needed$first "
        fi
    done
    count=0
    for hex in $(ls -1t "$root/releases"); do
        count=$((count + 1))
        case $needed in *" $hex "*) continue ;; esac
        [ "$count" -le "$A_keep" ] || rm -rf "${root:?}/releases/$hex"
    done
    count=0
    for name in $(ls -1t "$home/jobs"); do
        count=$((count + 1))
        [ "$count" -gt 100 ] || continue
        if [ -e "$home/jobs/$name/end" ] || [ -e "$home/jobs/$name/sealed" ]; then rm -rf "${home:?}/jobs/$name"; fi
    done
    find "$home/jobs" -maxdepth 1 -name '.new-*' -mtime +1 -exec rm -rf {} +
    find "$home" -maxdepth 1 -type f -name 'runner-*' ! -path "$0" -mtime +30 -exec rm -f {} +
    find "$home/incoming" -type f -mtime +7 -exec rm -f {} +
}

case $verb in
greet)
    shift 3
    greet "$@"
    ;;
prepare) prepare "$4" ;;
look) look ;;
begin) begin ;;
bring) bring ;;
seal) seal "$4" "${5-}" ;;
spoil) spoil "$4" ;;
running) running ;;
job) job ;;
carry) carry ;;
*) refuse "this runner knows no $verb" ;;
esac
exit 0
