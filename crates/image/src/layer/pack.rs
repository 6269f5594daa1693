//! Writing a directory as a layer's archive.

/// Why a directory could not be written as an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {}
