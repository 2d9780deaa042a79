{{/* A role: dict "root" . "role" "ingest" "port" 8460 "bus" true "settings" .Values.ingest
     "alerts" "name of a secret, or none" "topology" "name of a config map, or none" */}}
{{- define "qoe.deployment" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "qoe.name" $root }}-{{ .role }}
  labels:
    {{- include "qoe.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  replicas: {{ .settings.replicas }}
  selector:
    matchLabels:
      {{- include "qoe.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "qoe.selector" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "qoe.name" $root }}
      {{- include "qoe.pod" $root | nindent 6 }}
      terminationGracePeriodSeconds: 30
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "qoe.selector" . | nindent 14 }}
      containers:
        - name: {{ .role }}
          {{- include "qoe.container" $root | nindent 10 }}
          command: [/usr/bin/qoe]
          args:
            - {{ .role }}
            - --listen={{ $values.listenAddress }}:{{ .port }}
            {{- if $values.tls.secret }}
            - --tls-cert=/run/qoe/tls/tls.crt
            - --tls-key=/run/qoe/tls/tls.key
            {{- else if $values.tls.insecureHttp }}
            - --insecure-http
            {{- else }}
            {{- fail "name a certificate with tls.secret, or say tls.insecureHttp=true where something in front does TLS" }}
            {{- end }}
            {{- include "qoe.database.args" $root | nindent 12 }}
            {{- if .bus }}
            {{- include "qoe.bus.args" $root | nindent 12 }}
            {{- end }}
            {{- if .alerts }}
            - --alerts=/run/qoe/alerts/{{ .settings.alerts.key }}
            {{- end }}
            {{- if .topology }}
            - --topology=/run/qoe/topology/{{ .settings.topology.key }}
            {{- end }}
            {{- range .settings.args }}
            - {{ . | quote }}
            {{- end }}
          ports:
            - name: http
              containerPort: {{ .port }}
          livenessProbe:
            {{- include "qoe.health" (dict "root" $root "path" "/-/healthy") | nindent 12 }}
          readinessProbe:
            {{- include "qoe.health" (dict "root" $root "path" "/-/ready") | nindent 12 }}
          resources:
            {{- toYaml .settings.resources | nindent 12 }}
          volumeMounts:
            {{- include "qoe.database.mounts" $root | nindent 12 }}
            {{- if .bus }}
            {{- include "qoe.bus.mounts" $root | nindent 12 }}
            {{- end }}
            {{- if $values.tls.secret }}
            - name: tls
              mountPath: /run/qoe/tls
              readOnly: true
            {{- end }}
            {{- if .alerts }}
            - name: alerts
              mountPath: /run/qoe/alerts
              readOnly: true
            {{- end }}
            {{- if .topology }}
            - name: topology
              mountPath: /run/qoe/topology
              readOnly: true
            {{- end }}
      volumes:
        {{- include "qoe.database.volumes" $root | nindent 8 }}
        {{- if .bus }}
        {{- include "qoe.bus.volumes" $root | nindent 8 }}
        {{- end }}
        {{- with $values.tls.secret }}
        - name: tls
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
        {{- with .alerts }}
        - name: alerts
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
        {{- with .topology }}
        - name: topology
          configMap:
            name: {{ . }}
        {{- end }}
{{- end -}}
