//! Byte sizes, 1024-based (`512m`, `1gb`, `64k`, `1048576`).
//! Source: Docker CLI reference (`--memory`), go-units `RAMInBytes`.
