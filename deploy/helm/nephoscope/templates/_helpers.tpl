{{- define "nephoscope.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "nephoscope.labels" -}}
{{ include "nephoscope.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "nephoscope.selector" -}}
app.kubernetes.io/name: nephoscope
app.kubernetes.io/instance: {{ include "nephoscope.name" . }}
{{- end -}}

{{- define "nephoscope.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "nephoscope.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "nephoscope.secret" -}}
{{- default (include "nephoscope.name" .) .Values.existingSecret -}}
{{- end -}}
