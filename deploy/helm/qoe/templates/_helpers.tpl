{{- define "qoe.name" -}}
{{ printf "%s-qoe" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{- define "qoe.labels" -}}
app.kubernetes.io/name: qoe
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Of a role: dict "root" . "role" "ingest" */}}
{{- define "qoe.selector" -}}
app.kubernetes.io/name: qoe
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "qoe.image" -}}
{{ required "image.repository must be said" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What every pod may not. */}}
{{- define "qoe.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "qoe.container" -}}
image: {{ include "qoe.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Flags, mounts and volumes of what opens the database. */}}
{{- define "qoe.database.args" -}}
- --database-file=/run/qoe/database/{{ .Values.database.key }}
{{- if .Values.database.ca.secret }}
- --database-ca=/run/qoe/database-ca/{{ .Values.database.ca.key }}
{{- end }}
{{- end -}}

{{- define "qoe.database.mounts" -}}
- name: database
  mountPath: /run/qoe/database
  readOnly: true
{{- if .Values.database.ca.secret }}
- name: database-ca
  mountPath: /run/qoe/database-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "qoe.database.volumes" -}}
- name: database
  secret:
    secretName: {{ required "database.secret must name a secret" .Values.database.secret }}
    defaultMode: 0440
{{- with .Values.database.ca.secret }}
- name: database-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* The same of what is on the bus. */}}
{{- define "qoe.bus.args" -}}
- --bus={{ required "bus.url must be said" .Values.bus.url }}
{{- with .Values.bus.prefix }}
- --bus-prefix={{ . }}
{{- end }}
{{- if .Values.bus.credentials.secret }}
- --bus-credentials=/run/qoe/bus/{{ .Values.bus.credentials.key }}
{{- end }}
{{- if .Values.bus.ca.secret }}
- --bus-ca=/run/qoe/bus-ca/{{ .Values.bus.ca.key }}
{{- end }}
{{- end -}}

{{- define "qoe.bus.mounts" -}}
{{- if .Values.bus.credentials.secret }}
- name: bus
  mountPath: /run/qoe/bus
  readOnly: true
{{- end }}
{{- if .Values.bus.ca.secret }}
- name: bus-ca
  mountPath: /run/qoe/bus-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "qoe.bus.volumes" -}}
{{- with .Values.bus.credentials.secret }}
- name: bus
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.bus.ca.secret }}
- name: bus-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "qoe.scheme" -}}
{{ ternary "https" "http" (ne .Values.tls.secret "") }}
{{- end -}}

{{- define "qoe.health" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ include "qoe.scheme" .root | upper }}
timeoutSeconds: 5
{{- end -}}
