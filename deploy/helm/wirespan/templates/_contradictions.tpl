{{- /* Fails where values say two things of which only one could hold: nobody would be told which. */}}
{{- define "wirespan.contradictions" -}}
{{- range $name, $_ := .Values.envValueFrom }}
{{- if hasKey $.Values.env $name }}
{{- fail (printf "env.%s and envValueFrom.%s: only one of them can hold" $name $name) }}
{{- end }}
{{- end }}
{{- if .Values.peers.enabled }}
{{- range $name := concat (keys .Values.env) (keys .Values.envValueFrom) }}
{{- if has $name (list "WIRESPAN_PEERS" "WIRESPAN_PEERS_LISTEN" "WIRESPAN_PEERS_SECRET" "WIRESPAN_PEERS_SECRET_FILE") }}
{{- fail (printf "peers.enabled and %s: the first says whom agents ask and how they prove who they are; leave one of them out" $name) }}
{{- end }}
{{- end }}
{{- if eq (int .Values.peers.port) (int .Values.health.port) }}
{{- fail (printf "peers.port and health.port are both %d" (int .Values.peers.port)) }}
{{- end }}
{{- end }}
{{- if .Values.privileged }}
{{- if and (hasKey .Values.securityContext "privileged") (not .Values.securityContext.privileged) }}
{{- fail "privileged: true and securityContext.privileged: false" }}
{{- end }}
{{- if .Values.seccompProfile.type }}
{{- fail "privileged and seccompProfile.type: a privileged container has no profile" }}
{{- end }}
{{- end }}
{{- if .Values.rbac.create }}
{{- $asked := splitList "," (toString (default "" (get .Values.env "WIRESPAN_KUBE_PEERS"))) }}
{{- range $kind := list "services" "nodes" }}
{{- if and (has $kind $asked) (not (get $.Values.rbac $kind)) }}
{{- fail (printf "env.WIRESPAN_KUBE_PEERS asks for %s, and rbac.%s refuses the right to them" $kind $kind) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
