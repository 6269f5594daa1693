//! What a long operation tells while it runs. Bars, colours and terminals are the caller's business.

/// Receives events; called from several threads at once.
pub trait Progress: Sync {
    fn layer(&self, event: LayerEvent<'_>);
    /// A finished line in Docker's words (`Status: Downloaded newer image for redis:7`).
    fn line(&self, text: &str);
}

/// How one layer (or another blob) stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerEvent<'a> {
    /// The first twelve digits of the blob's digest.
    pub id: &'a str,
    pub status: Status,
    /// Bytes done of `total`; both 0 where it makes no sense.
    pub current: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Downloads and unpacks at the same time.
    PullingFsLayer,
    Waiting,
    /// Another process, or another layer of this image, brings the same one in.
    WaitingForAnother,
    Downloading,
    Retrying {
        in_seconds: u64,
    },
    DownloadComplete,
    Extracting,
    PullComplete,
    AlreadyExists,
    Preparing,
    Pushing,
    Pushed,
    Mounted,
    LayerAlreadyExists,
    Loading,
    Verifying,
    Verified,
}

impl Status {
    /// Docker's words.
    pub fn text(&self) -> String {
        match self {
            Self::PullingFsLayer => "Pulling fs layer",
            Self::Waiting => "Waiting",
            Self::WaitingForAnother => "Waiting for another download of it",
            Self::Downloading => "Downloading",
            Self::Retrying { in_seconds: 1 } => return "Retrying in 1 second".into(),
            Self::Retrying { in_seconds } => return format!("Retrying in {in_seconds} seconds"),
            Self::DownloadComplete => "Download complete",
            Self::Extracting => "Extracting",
            Self::PullComplete => "Pull complete",
            Self::AlreadyExists => "Already exists",
            Self::Preparing => "Preparing",
            Self::Pushing => "Pushing",
            Self::Pushed => "Pushed",
            Self::Mounted => "Mounted from another repository",
            Self::LayerAlreadyExists => "Layer already exists",
            Self::Loading => "Loading layer",
            Self::Verifying => "Verifying",
            Self::Verified => "Verified",
        }
        .into()
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn layer(&self, _: LayerEvent<'_>) {}
    fn line(&self, _: &str) {}
}
