# $1 is how many versions stay: 1 in an upgrade, after which a service that runs is that of the new
# one.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart wirespan.service || :
    fi
fi
