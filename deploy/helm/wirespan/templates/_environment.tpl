{{- /* What of Beyla's configuration has a variable that wirespan knows: its path and the variable. */}}
{{- define "wirespan.known" -}}
open_port: BEYLA_OPEN_PORT
executable_name: BEYLA_EXECUTABLE_NAME
auto_target_exe: BEYLA_AUTO_TARGET_EXE
service_name: BEYLA_SERVICE_NAME
service_namespace: BEYLA_SERVICE_NAMESPACE
log_level: BEYLA_LOG_LEVEL
trace_printer: BEYLA_TRACE_PRINTER
shutdown_timeout: BEYLA_SHUTDOWN_TIMEOUT
otel_traces_export.endpoint: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
otel_traces_export.protocol: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
otel_traces_export.queue_size: BEYLA_OTLP_TRACES_QUEUE_SIZE
otel_traces_export.batch_max_size: BEYLA_OTLP_TRACES_BATCH_MAX_SIZE
otel_traces_export.batch_timeout: BEYLA_OTLP_TRACES_BATCH_TIMEOUT
otel_traces_export.sampler.name: OTEL_TRACES_SAMPLER
otel_traces_export.sampler.arg: OTEL_TRACES_SAMPLER_ARG
attributes.sensitive_query_params.add: BEYLA_SENSITIVE_QUERY_PARAMS_ADD
attributes.sensitive_query_params.remove: BEYLA_SENSITIVE_QUERY_PARAMS_REMOVE
attributes.kubernetes.enable: BEYLA_KUBE_METADATA_ENABLE
attributes.kubernetes.cluster_name: BEYLA_KUBE_CLUSTER_NAME
attributes.kubernetes.meta_restrict_local_node: BEYLA_KUBE_META_RESTRICT_LOCAL_NODE
discovery.exclude_otel_instrumented_services: BEYLA_EXCLUDE_OTEL_INSTRUMENTED_SERVICES
attributes.host_id.override: BEYLA_HOST_ID
ebpf.bpf_debug: BEYLA_BPF_DEBUG
{{- end }}

{{- /* Of a tree of settings, a map of paths to texts, as JSON; lists with commas, and null is nothing. */}}
{{- define "wirespan.flatten" -}}
{{- $flat := dict }}
{{- $prefix := .prefix }}
{{- range $key, $value := .tree }}
{{- $path := ternary $key (printf "%s.%s" $prefix $key) (empty $prefix) }}
{{- if kindIs "map" $value }}
{{- $flat = merge $flat (include "wirespan.flatten" (dict "prefix" $path "tree" $value) | fromJson) }}
{{- else if kindIs "slice" $value }}
{{- $words := list }}
{{- range $value }}
{{- $words = append $words (include "wirespan.text" .) }}
{{- end }}
{{- $_ := set $flat $path (join "," $words) }}
{{- else if not (kindIs "invalid" $value) }}
{{- $_ := set $flat $path (include "wirespan.text" $value) }}
{{- end }}
{{- end }}
{{- toJson $flat }}
{{- end }}

{{- /* A number as it was written: by itself a template says 1e+06. */}}
{{- define "wirespan.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{- /* Keys of a selector whose entries can be said by one variable, and the variable. */}}
{{- define "wirespan.selectors" -}}
open_ports: BEYLA_OPEN_PORT
exe_path: BEYLA_AUTO_TARGET_EXE
k8s_namespace: WIRESPAN_K8S_NAMESPACE
k8s_pod_name: WIRESPAN_K8S_POD_NAME
k8s_container_name: WIRESPAN_K8S_CONTAINER_NAME
k8s_owner_name: WIRESPAN_K8S_OWNER_NAME
k8s_deployment_name: WIRESPAN_K8S_DEPLOYMENT_NAME
k8s_replicaset_name: WIRESPAN_K8S_REPLICASET_NAME
k8s_statefulset_name: WIRESPAN_K8S_STATEFULSET_NAME
k8s_daemonset_name: WIRESPAN_K8S_DAEMONSET_NAME
k8s_job_name: WIRESPAN_K8S_JOB_NAME
k8s_cronjob_name: WIRESPAN_K8S_CRONJOB_NAME
k8s_pod_labels: WIRESPAN_K8S_POD_LABELS
k8s_pod_annotations: WIRESPAN_K8S_POD_ANNOTATIONS
{{- end }}

{{- /* What a key of a selector selects, as its variable says it: of labels, each with its glob. */}}
{{- define "wirespan.selected" -}}
{{- if kindIs "map" . }}
{{- $pairs := list }}
{{- range $key, $value := . }}
{{- $pairs = append $pairs (printf "%s=%s" $key (include "wirespan.text" $value)) }}
{{- end }}
{{- join "," $pairs }}
{{- else }}
{{- include "wirespan.text" . }}
{{- end }}
{{- end }}

{{- /* From config.data, as JSON: `environment`, and `left`, the paths that nobody reads. */}}
{{- define "wirespan.config" -}}
{{- $environment := dict }}
{{- $left := list }}
{{- $known := include "wirespan.known" . | fromYaml }}
{{- $data := deepCopy (default dict .Values.config.data) }}
{{- $discovery := default dict $data.discovery }}
{{- $entries := default list $discovery.instrument }}
{{- /* Several entries that all have the same one key are one list; the keys of a single entry narrow each other, as
variables do, but for ports and paths, of which either selects. */}}
{{- $selectors := include "wirespan.selectors" . | fromYaml }}
{{- $names := list }}
{{- range $entries }}
{{- $names = concat $names (keys .) }}
{{- end }}
{{- $names = uniq $names }}
{{- $sayable := or (eq (len $names) 1) (eq (len $entries) 1) }}
{{- if and (has "open_ports" $names) (has "exe_path" $names) }}
{{- $sayable = false }}
{{- end }}
{{- range $names }}
{{- if not (get $selectors .) }}
{{- $sayable = false }}
{{- end }}
{{- end }}
{{- if and $entries $sayable }}
{{- range $name := $names }}
{{- $values := list }}
{{- range $entries }}
{{- $values = append $values (include "wirespan.selected" (get . $name)) }}
{{- end }}
{{- $_ := set $environment (get $selectors $name) (join "," $values) }}
{{- end }}
{{- $_ := unset $discovery "instrument" }}
{{- end }}
{{- /* Of default exclusions nothing can be changed but that there are some. */}}
{{- range $key := list "default_exclude_instrument" "default_exclude_services" }}
{{- if and (hasKey $discovery $key) (empty (get $discovery $key)) }}
{{- $_ := set $environment "WIRESPAN_DEFAULT_EXCLUDE" "false" }}
{{- $_ := unset $discovery $key }}
{{- end }}
{{- end }}
{{- range $path, $text := include "wirespan.flatten" (dict "prefix" "" "tree" $data) | fromJson }}
{{- $variable := get $known $path }}
{{- if $variable }}
{{- $_ := set $environment $variable $text }}
{{- else }}
{{- $left = append $left $path }}
{{- end }}
{{- end }}
{{- dict "environment" $environment "left" $left | toJson }}
{{- end }}

{{- /* All variables with a plain value, as JSON. */}}
{{- define "wirespan.environment" -}}
{{- $config := include "wirespan.config" . | fromJson }}
{{- $environment := $config.environment }}
{{- range $name, $value := .Values.env }}
{{- if not (kindIs "invalid" $value) }}
{{- $_ := set $environment $name (tpl (include "wirespan.text" $value) $) }}
{{- end }}
{{- end }}
{{- $names := concat (keys $environment) (keys .Values.envValueFrom) }}
{{- $selects := false }}
{{- $exports := false }}
{{- range $names }}
{{- if regexMatch "^(BEYLA|OTEL_EBPF|OTEL_GO)_(OPEN_PORT|AUTO_TARGET_EXE|EXECUTABLE_NAME|TARGET_PID)$|^WIRESPAN_K8S_" . }}
{{- $selects = true }}
{{- end }}
{{- if regexMatch "^OTEL_EXPORTER_OTLP_(TRACES_)?ENDPOINT$" . }}
{{- $exports = true }}
{{- end }}
{{- end }}
{{- range $path := $config.left }}
{{- if regexMatch "^discovery\\.(default_)?exclude_(instrument|services)$" $path }}
{{- fail (printf "config.data.%s can't be said in environment variables, and wirespan reads no configuration file yet: without it more would be traced than it says. Remove it, and select by env.WIRESPAN_K8S_NAMESPACE and its like" $path) }}
{{- end }}
{{- end }}
{{- if not $selects }}
{{- range $path := $config.left }}
{{- if regexMatch "^discovery\\.(instrument|services)$" $path }}
{{- fail (printf "config.data.%s can't be said in environment variables, and wirespan reads no configuration file yet: set env.BEYLA_OPEN_PORT or env.BEYLA_AUTO_TARGET_EXE, and env.WIRESPAN_K8S_NAMESPACE or its like, which then select" $path) }}
{{- end }}
{{- end }}
{{- $_ := set $environment "BEYLA_OPEN_PORT" .Values.defaultOpenPort }}
{{- end }}
{{- if not $exports }}
{{- $_ := set $environment "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.defaultEndpoint }}
{{- end }}
{{- if not (hasKey $environment "BEYLA_KUBE_METADATA_ENABLE") }}
{{- $_ := set $environment "BEYLA_KUBE_METADATA_ENABLE" "true" }}
{{- end }}
{{- if not (hasKey $environment "WIRESPAN_KUBE_PEERS") }}
{{- if .Values.rbac.nodes }}
{{- $_ := set $environment "WIRESPAN_KUBE_PEERS" (ternary "services,nodes" "nodes" .Values.rbac.services) }}
{{- else if not .Values.rbac.services }}
{{- $_ := set $environment "WIRESPAN_KUBE_PEERS" "none" }}
{{- end }}
{{- end }}
{{- toJson $environment }}
{{- end }}
