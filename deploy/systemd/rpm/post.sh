# $1 is how many versions are installed by now: 1 at first, 2 in an upgrade. Nothing is started:
# without settings there is nothing to do.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
