"""What people ask for, a module for each kind of act.

Each function authorises, applies and answers; what cannot be done raises `CommandRefused` with what would help, and
then nothing has changed [24].
"""
