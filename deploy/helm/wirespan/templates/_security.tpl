{{- /* The container's. What a user of Beyla's chart says in securityContext holds where it is privileged. */}}
{{- define "wirespan.securityContext" -}}
{{- $context := dict "runAsUser" 0 "runAsGroup" 0 "readOnlyRootFilesystem" true }}
{{- $extra := deepCopy .Values.securityContext }}
{{- if .Values.privileged }}
{{- $_ := set $context "privileged" true }}
{{- else }}
{{- $_ := unset $extra "privileged" }}
{{- $_ := set $context "allowPrivilegeEscalation" false }}
{{- $add := concat (list "BPF" "PERFMON" "SYS_PTRACE" "DAC_READ_SEARCH") .Values.extraCapabilities | uniq }}
{{- $_ := set $context "capabilities" (dict "drop" (list "ALL") "add" $add) }}
{{- $type := default (ternary "Unconfined" "RuntimeDefault" .Values.openshift.enabled) .Values.seccompProfile.type }}
{{- $seccomp := dict "type" $type }}
{{- if eq $type "Localhost" }}
{{- $_ := set $seccomp "localhostProfile" .Values.seccompProfile.localhostProfile }}
{{- end }}
{{- $_ := set $context "seccompProfile" $seccomp }}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
{{- with .Values.appArmorProfile }}
{{- $_ := set $context "appArmorProfile" . }}
{{- end }}
{{- end }}
{{- end }}
{{- $selinux := .Values.seLinuxOptions }}
{{- if and .Values.openshift.enabled (not $selinux) }}
{{- $selinux = dict "type" "spc_t" }}
{{- end }}
{{- if $selinux }}
{{- $_ := set $context "seLinuxOptions" $selinux }}
{{- end }}
{{- mergeOverwrite $context $extra | toYaml }}
{{- end }}
