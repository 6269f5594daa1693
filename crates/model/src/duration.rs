//! Durations as Go prints and reads them (`1m30s`, `500ms`, `1.5h`).
//! Source: Go `time.ParseDuration`, Compose Specification "Specifying durations".
