# $1 is how many versions stay: 0 in a removal, and then no service may be left of it.
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now wirespan.service || :
fi
