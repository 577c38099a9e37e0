#!/bin/bash
# Gives host0 the address IFCONFIG_IP and the default route IFCONFIG_GW, which the container
# manager sets in the environment of PID 1 (https://systemd.io/CONTAINER_INTERFACE).
set -euo pipefail

address='' gateway=''
while IFS='=' read -r -d '' name value; do
    case $name in
        IFCONFIG_IP) address=$value ;;
        IFCONFIG_GW) gateway=$value ;;
    esac
done </proc/1/environ
# The route needs the address, whatever their order is.
if [[ -n $address ]]; then
    ip address replace "$address" dev host0
    ip link set host0 up
fi
[[ -z $gateway ]] || ip route replace default via "$gateway"
