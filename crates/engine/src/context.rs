//! What every verb is given: where things lie and how the engine is configured.

use crate::config::Config;
use crate::error::{Error, Result};
use image::registry::config::PolicyFile;
use state::Layout;
pub use state::layout::DATA_ROOT;
use std::ffi::{CString, OsString};
use std::path::{Path, PathBuf};

/// The data root and the configuration. Opened once per command; cheap.
#[derive(Debug, Clone)]
pub struct Context {
    pub layout: Layout,
    pub config: Config,
    /// Docker's `config.json`, where registry credentials are.
    pub docker_config: Option<PathBuf>,
    /// Hears what is waited for.
    pub waiting: image::registry::Waiting,
}

/// What the command line or the environment says about the context.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub data_root: Option<PathBuf>,
    pub run_root: Option<PathBuf>,
    /// Looked through before those of the configuration file.
    pub image_dirs: Vec<PathBuf>,
    pub config: Option<PathBuf>,
    /// Docker's `config.json`; `None`: registries are asked without credentials.
    pub docker_config: Option<PathBuf>,
    /// Hears what is waited for.
    pub waiting: image::registry::Waiting,
}

impl Context {
    /// The command line of a role that works on this data root.
    pub fn role_arguments(&self, role: &str, words: &[&str]) -> Result<Vec<CString>> {
        let (data, run) = (self.layout.data_root(), self.layout.run_root());
        let roots = [data, run].map(|root| root.as_os_str().as_encoded_bytes());
        let mut all = vec![b"dockless".as_slice(), role.as_bytes()];
        all.extend(roots);
        all.extend(words.iter().map(|word| word.as_bytes()));
        let words = all.into_iter().map(CString::new);
        words
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| Error::invalid("data root", e.to_string()))
    }

    /// What a role works on whose command line [`Self::role_arguments`] made.
    pub fn of_role(arguments: &[OsString]) -> Result<Self> {
        let mut roots = arguments.iter().skip(1).map(PathBuf::from);
        Self::open(&Options {
            data_root: roots.next(),
            run_root: roots.next(),
            ..Options::default()
        })
    }

    /// Reads the configuration and makes the directories of the data root.
    pub fn open(options: &Options) -> Result<Self> {
        let path = options
            .config
            .as_deref()
            .unwrap_or(Path::new(crate::config::PATH));
        let mut config = Config::load(path)?;
        config
            .image_dirs
            .splice(0..0, options.image_dirs.iter().cloned());
        let data = options
            .data_root
            .clone()
            .unwrap_or_else(|| DATA_ROOT.into());
        let run = options
            .run_root
            .clone()
            .unwrap_or_else(|| state::layout::RUN_ROOT.into());
        let layout = Layout::new(absolute(&data)?, absolute(&run)?);
        layout
            .prepare()
            .map_err(Error::file("prepare the data root at", layout.data_root()))?;
        let ctx = Self {
            layout,
            config,
            docker_config: options.docker_config.clone(),
            waiting: options.waiting,
        };
        crate::container::names::restore(&ctx)?;
        Ok(ctx)
    }

    /// How registries are reached: by dockless' own configuration, and by what the host has for other engines.
    pub fn registries(&self) -> image::RegistryOptions {
        let mut options = crate::registries::of_host(|name| std::env::var(name).ok());
        if let Some(policy) = &self.config.signature_policy {
            options.files.policy = PolicyFile::Named(policy.clone());
        }
        if let Some(proxies) = &self.config.proxies {
            options.proxies = proxies.clone().own();
        }
        image::RegistryOptions {
            insecure: self.config.insecure_registries.clone(),
            mirrors: self.config.registry_mirrors.clone(),
            rules: self.config.registries.clone(),
            docker_config: self.docker_config.clone(),
            waiting: self.waiting,
            ..options
        }
    }

    /// The image store; opened where it is needed, so that verbs without images do not pay for it.
    pub fn images(&self) -> Result<image::Store> {
        self.images_with(self.registries())
    }

    /// The same, with registries reached otherwise: as somebody else's account.
    pub fn images_with(&self, registries: image::RegistryOptions) -> Result<image::Store> {
        let options = image::StoreOptions {
            image_dirs: self.config.image_dirs.clone(),
            registries,
            layer_form: self.config.layer_store,
            min_free: self.config.min_free_space,
            drop_blobs: self.config.keep_blobs == Some(false),
            ..Default::default()
        };
        Ok(image::Store::open(&self.layout, options)?)
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::file("resolve", path))
}
