//! What is done about a service's image: used, pulled or built. Pure.
//!
//! Source: docker/compose `pkg/compose/pull.go`, `build.go`; Compose Specification `pull_policy`.

use compose_file::Service;
use compose_file::project::PullPolicy as FilePolicy;
use image::PullPolicy;
use std::time::Duration;

/// What the command line says about images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    pub build: Build,
    /// `--pull`, over what the file says.
    pub pull: Option<PullPolicy>,
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Build {
    /// What is missing.
    #[default]
    Missing,
    /// `--build`.
    Always,
    /// `--no-build`.
    Never,
}

/// What is done about a service's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Use,
    Build(&'static str),
    /// `Missing`: look wherever images come from; `Always`: even if it is here.
    Pull(PullPolicy),
    /// It is not here, and nothing may be done about it.
    Refuse(&'static str),
}

/// Decides for one service. `age`: how long ago the image was last pulled, where a policy asks for it.
pub fn decide(
    service: &Service,
    present: bool,
    age: Option<Duration>,
    options: Options,
) -> Decision {
    let builds = service.build.is_some();
    if builds && options.build == Build::Always {
        return Decision::Build("--build");
    }
    let policy = match options.pull {
        Some(PullPolicy::Always) => FilePolicy::Always,
        Some(PullPolicy::Never) => FilePolicy::Never,
        Some(PullPolicy::Missing) => FilePolicy::Missing,
        None => service.pull_policy.unwrap_or(FilePolicy::Missing),
    };
    let never_build = options.build == Build::Never;
    match policy {
        FilePolicy::Build if builds && !never_build => Decision::Build("pull_policy: build"),
        // What is built here is not asked for elsewhere, unless it has a name to ask for.
        FilePolicy::Always
            if !builds || service.image.is_some() && service.pull_policy.is_some() =>
        {
            Decision::Pull(PullPolicy::Always)
        }
        FilePolicy::Every(limit) if !present || age.is_none_or(|age| age > limit) => {
            Decision::Pull(PullPolicy::Always)
        }
        _ if present => Decision::Use,
        _ if builds && !never_build => Decision::Build("image not found"),
        FilePolicy::Never => Decision::Refuse("pull_policy is never"),
        _ if builds => Decision::Refuse("--no-build was given"),
        _ => Decision::Pull(PullPolicy::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(build: bool, image: Option<&str>, policy: Option<FilePolicy>) -> Service {
        Service {
            name: "web".into(),
            build: build.then(Default::default),
            image: image.map(Into::into),
            pull_policy: policy,
            ..Default::default()
        }
    }

    #[test]
    fn what_is_here_is_used_and_what_is_not_is_got() {
        let none = Options::default();
        let plain = service(false, Some("nginx"), None);
        assert_eq!(decide(&plain, true, None, none), Decision::Use);
        assert_eq!(
            decide(&plain, false, None, none),
            Decision::Pull(PullPolicy::Missing)
        );
        let built = service(true, None, None);
        assert_eq!(decide(&built, true, None, none), Decision::Use);
        assert_eq!(
            decide(&built, false, None, none),
            Decision::Build("image not found")
        );
    }

    #[test]
    fn flags_win_over_the_file() {
        let built = service(true, Some("x"), Some(FilePolicy::Missing));
        let flags = |build, pull| Options {
            build,
            pull,
            quiet: false,
        };
        assert_eq!(
            decide(&built, true, None, flags(Build::Always, None)),
            Decision::Build("--build")
        );
        assert_eq!(
            decide(&built, false, None, flags(Build::Never, None)),
            Decision::Refuse("--no-build was given")
        );
        let plain = service(false, Some("x"), Some(FilePolicy::Always));
        assert_eq!(
            decide(&plain, true, None, Options::default()),
            Decision::Pull(PullPolicy::Always)
        );
        assert_eq!(
            decide(
                &plain,
                true,
                None,
                flags(Build::Missing, Some(PullPolicy::Never))
            ),
            Decision::Use
        );
        assert_eq!(
            decide(
                &plain,
                false,
                None,
                flags(Build::Missing, Some(PullPolicy::Never))
            ),
            Decision::Refuse("pull_policy is never")
        );
    }

    #[test]
    fn policies_of_the_file() {
        let day = Duration::from_secs(86_400);
        let daily = service(false, Some("x"), Some(FilePolicy::Every(day)));
        let none = Options::default();
        assert_eq!(decide(&daily, true, Some(day / 2), none), Decision::Use);
        assert_eq!(
            decide(&daily, true, Some(day * 2), none),
            Decision::Pull(PullPolicy::Always)
        );
        let build = service(true, Some("x"), Some(FilePolicy::Build));
        assert_eq!(
            decide(&build, true, None, none),
            Decision::Build("pull_policy: build")
        );
    }
}
