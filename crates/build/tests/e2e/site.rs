//! A data root, a context, and a look into what was built.

use build::{Built, ContextSource, DockerfileSource, Error, Event, Options, Progress};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// One test's own directories; gone when it is.
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) ctx: engine::Context,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where the images are: made by `scripts/make-images`.
pub(crate) fn image_dir() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images-cache");
    let dir = std::env::var_os("DOCKLESS_IMAGE_DIR").map_or_else(default, PathBuf::from);
    assert!(
        dir.join("index.json").exists(),
        "{} has no images: run scripts/make-images, or name another directory by DOCKLESS_IMAGE_DIR",
        dir.display()
    );
    dir
}

/// Layers are directories, so that their files can be looked at.
pub(crate) fn context(dir: &Path) -> engine::Context {
    let config = dir.join("config.json");
    fs::write(&config, r#"{"layer-store": "directories"}"#).unwrap();
    let options = engine::context::Options {
        data_root: Some(dir.join("data")),
        run_root: Some(dir.join("run")),
        image_dirs: vec![image_dir()],
        config: Some(config),
        ..Default::default()
    };
    engine::Context::open(&options).unwrap()
}

/// What progress told, one line an event.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<String>>);

impl Progress for Told {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Started(step) => format!("started {}", step.name),
            Event::Cached(step) => format!("cached {}", step.name),
            Event::Output { line, .. } => format!("| {}", String::from_utf8_lossy(line)),
            Event::Finished { step, .. } => format!("finished {}", step.name),
            Event::Failed { step, .. } => format!("failed {}", step.name),
            Event::Warning(text) => format!("warning {text}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Told {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn says(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        self.lines()
            .iter()
            .filter(|line| line.starts_with(start))
            .count()
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!(
            "dockless-build-test-{}-{serial}",
            std::process::id()
        ));
        fs::create_dir_all(dir.join("context")).unwrap();
        Self {
            ctx: context(&dir),
            dir,
        }
    }

    pub(crate) fn context_dir(&self) -> PathBuf {
        self.dir.join("context")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.context_dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn options(&self, dockerfile: &str) -> Options {
        let mut options = Options::new(ContextSource::Directory(self.context_dir()));
        options.dockerfile = DockerfileSource::Text(dockerfile.to_owned());
        options
    }

    pub(crate) fn try_build(&self, options: Options) -> (Result<Built, Error>, Told) {
        let told = Told::default();
        let result = build::build(&self.ctx, options, &told);
        (result, told)
    }

    #[track_caller]
    pub(crate) fn build_with(&self, options: Options) -> (Image, Told) {
        let (result, told) = self.try_build(options);
        match result {
            Ok(built) => (
                Image {
                    dirs: self.ctx.images().unwrap().layer_dirs(&built.image).unwrap(),
                    built,
                },
                told,
            ),
            Err(error) => panic!("{}\n{:#?}", describe(&error), told.lines()),
        }
    }

    #[track_caller]
    pub(crate) fn build(&self, dockerfile: &str) -> (Image, Told) {
        self.build_with(self.options(dockerfile))
    }

    #[track_caller]
    pub(crate) fn failure(&self, options: Options) -> (Error, Told) {
        let (result, told) = self.try_build(options);
        match result {
            Ok(_) => panic!("the build succeeded: {:#?}", told.lines()),
            Err(error) => (error, told),
        }
    }
}

/// An error with all its causes.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What was built, its files looked up as overlayfs would.
pub(crate) struct Image {
    pub(crate) built: Built,
    pub(crate) dirs: Vec<PathBuf>,
}

impl Image {
    /// The topmost layer that says something about the path; `None` when that is that it is gone.
    pub(crate) fn path(&self, path: &str) -> Option<PathBuf> {
        for dir in self.dirs.iter().rev() {
            let found = dir.join(path.trim_start_matches('/'));
            let Ok(meta) = found.symlink_metadata() else {
                continue;
            };
            let whiteout = std::os::unix::fs::FileTypeExt::is_char_device(&meta.file_type());
            return (!whiteout).then_some(found);
        }
        None
    }

    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        let found = self
            .path(path)
            .unwrap_or_else(|| panic!("{path} is not in the image"));
        fs::read_to_string(found).unwrap()
    }

    /// `mode uid:gid`.
    #[track_caller]
    pub(crate) fn attributes(&self, path: &str) -> String {
        use std::os::unix::fs::MetadataExt;
        let found = self
            .path(path)
            .unwrap_or_else(|| panic!("{path} is not in the image"));
        let meta = found.symlink_metadata().unwrap();
        format!("{:o} {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid())
    }

    /// Whether the path is in the layers made by the build, `below` layers up.
    pub(crate) fn top_names(&self) -> Vec<String> {
        let top = self.dirs.last().unwrap();
        let mut names: Vec<String> = fs::read_dir(top)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}
