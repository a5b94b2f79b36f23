// Slack's emoji names as Unicode; a name not listed here is shown as it was typed.

const TABLE = `
grinning 😀 smile 😄 smiley 😃 grin 😁 laughing 😆 joy 😂 sweat_smile 😅 wink 😉 blush 😊 slightly_smiling_face 🙂 upside_down_face 🙃 heart_eyes 😍
sunglasses 😎 thinking_face 🤔 neutral_face 😐 expressionless 😑 confused 😕 cry 😢 sob 😭 scream 😱 rage 😡 exploding_head 🤯 sleeping 😴 face_with_monocle 🧐
partying_face 🥳 salute 🫡 saluting_face 🫡 facepalm 🤦 shrug 🤷 robot_face 🤖 ghost 👻 wave 👋 +1 👍 thumbsup 👍 -1 👎 thumbsdown 👎 ok_hand 👌 clap 👏 pray 🙏
raised_hands 🙌 muscle 💪 point_up ☝️ point_right 👉 point_left 👈 point_down 👇 raised_hand ✋ hand ✋ handshake 🤝 eyes 👀 brain 🧠 bust_in_silhouette 👤 busts_in_silhouette 👥
heart ❤️ blue_heart 💙 green_heart 💚 broken_heart 💔 star ⭐ star2 🌟 sparkles ✨ zap ⚡ fire 🔥 boom 💥 100 💯 tada 🎉 confetti_ball 🎊 trophy 🏆 medal 🏅 gift 🎁
rocket 🚀 ship 🚢 airplane ✈️ car 🚗 bike 🚲 construction 🚧 rotating_light 🚨 traffic_light 🚦 vertical_traffic_light 🚦 stop_sign 🛑 octagonal_sign 🛑 anchor ⚓ package 📦
white_check_mark ✅ heavy_check_mark ✔️ ballot_box_with_check ☑️ x ❌ negative_squared_cross_mark ❎ no_entry ⛔ no_entry_sign 🚫 warning ⚠️ question ❓ grey_question ❔
exclamation ❗ heavy_exclamation_mark ❗ bangbang ‼️ information_source ℹ️ red_circle 🔴 large_orange_circle 🟠 large_yellow_circle 🟡 large_green_circle 🟢 large_blue_circle 🔵
large_purple_circle 🟣 large_brown_circle 🟤 white_circle ⚪ black_circle ⚫ large_green_square 🟩 large_red_square 🟥 large_yellow_square 🟨 large_blue_square 🟦
white_large_square ⬜ black_large_square ⬛ small_red_triangle 🔺 small_red_triangle_down 🔻 arrow_up ⬆️ arrow_down ⬇️ arrow_left ⬅️ arrow_right ➡️ arrow_forward ▶️
arrow_heading_up ⤴️ leftwards_arrow_with_hook ↩️ rewind ⏪ fast_forward ⏩ double_vertical_bar ⏸️ pause_button ⏸️ black_square_for_stop ⏹️ repeat 🔁 arrows_counterclockwise 🔄
arrows_clockwise 🔃 twisted_rightwards_arrows 🔀 hourglass ⌛ hourglass_flowing_sand ⏳ stopwatch ⏱️ alarm_clock ⏰ clock1 🕐 clock3 🕒 watch ⌚ calendar 📅 date 📅 spiral_calendar_pad 🗓️
bell 🔔 no_bell 🔕 mega 📣 loudspeaker 📢 speech_balloon 💬 thought_balloon 💭 email 📧 envelope ✉️ inbox_tray 📥 outbox_tray 📤 pushpin 📌 round_pushpin 📍 paperclip 📎
link 🔗 lock 🔒 unlock 🔓 key 🔑 mag 🔍 mag_right 🔎 bulb 💡 wrench 🔧 hammer 🔨 hammer_and_wrench 🛠️ gear ⚙️ nut_and_bolt 🔩 toolbox 🧰 microscope 🔬 test_tube 🧪 shield 🛡️
chart_with_upwards_trend 📈 chart_with_downwards_trend 📉 bar_chart 📊 clipboard 📋 memo 📝 pencil 📝 pencil2 ✏️ page_facing_up 📄 scroll 📜 books 📚 book 📖 bookmark 🔖 label 🏷️
file_folder 📁 card_index_dividers 🗂️ wastebasket 🗑️ floppy_disk 💾 computer 💻 desktop_computer 🖥️ iphone 📱 battery 🔋 electric_plug 🔌 satellite 🛰️ globe_with_meridians 🌐
earth_africa 🌍 earth_americas 🌎 house 🏠 office 🏢 factory 🏭 shopping_trolley 🛒 shopping_bags 🛍️ credit_card 💳 moneybag 💰 dollar 💵 coffee ☕ pizza 🍕 beer 🍺 cake 🍰 doughnut 🍩
bug 🐛 snail 🐌 turtle 🐢 dog 🐶 cat 🐱 fox_face 🦊 bird 🐦 hatching_chick 🐣 canary 🐤 baby_chick 🐤 unicorn_face 🦄 whale 🐳 bee 🐝 seedling 🌱 evergreen_tree 🌲 four_leaf_clover 🍀
sunny ☀️ cloud ☁️ umbrella ☔ rainbow 🌈 snowflake ❄️ snowman ⛄ ocean 🌊 volcano 🌋 crescent_moon 🌙 ice_cube 🧊 izakaya_lantern 🏮 lantern 🏮 candle 🕯️ crystal_ball 🔮 game_die 🎲
dart 🎯 checkered_flag 🏁 triangular_flag_on_post 🚩 crossed_flags 🎌 white_flag 🏳️ new 🆕 up 🆙 ok 🆗 sos 🆘 free 🆓 heavy_plus_sign ➕ heavy_minus_sign ➖ infinity ♾️ recycle ♻️
one 1️⃣ two 2️⃣ three 3️⃣ four 4️⃣ five 5️⃣ six 6️⃣ seven 7️⃣ eight 8️⃣ nine 9️⃣ zero 0️⃣ hash #️⃣ ambulance 🚑 fire_engine 🚒 police_car 🚓 pager 📟 telephone_receiver 📞
`;

const words = TABLE.trim().split(/\s+/);
export const EMOJI = new Map();
for (let at = 0; at < words.length; at += 2) EMOJI.set(words[at], words[at + 1]);

/** Return the character of an emoji name, or null. */
export const emoji = (name) => EMOJI.get(name) ?? null;

/** Names offered for quick reactions, in this order. */
export const QUICK = ["+1", "eyes", "white_check_mark", "tada", "heart", "rocket", "pray", "thinking_face", "x"];
