//! Which runtime a name means: this binary, one of the configuration (`runtimes`), a path, or a known program in `PATH`.
//!
//! The answer is kept in the container's record, because the monitor that acts on it has no `PATH`.
//! Source: Docker CLI reference (`--runtime`), dockerd's `runtimes` and `default-runtime`.

use super::super::record::RuntimeRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// This binary's own name as a runtime.
pub const OWN: &str = "dockless";
/// What Docker's clients send for "the usual one".
const SHIM: &str = "io.containerd.runc.v2";
/// Programs that are known to be OCI runtimes: a word of `PATH` alone could mean anything.
const KNOWN: [&str; 8] = [
    "runc",
    "crun",
    "youki",
    "runsc",
    "krun",
    "kata-runtime",
    "nvidia-container-runtime",
    "sysbox-runc",
];

/// The runtime asked for; `None` is this binary.
pub fn select(ctx: &Context, asked: Option<&str>) -> Result<Option<RuntimeRecord>> {
    let asked = asked.filter(|name| !name.is_empty());
    let Some(name) = asked.or(ctx.config.default_runtime.as_deref()) else {
        return Ok(None);
    };
    let bad =
        |cause: String| Error::invalid(format!("unknown or invalid runtime name: {name}"), cause);
    if let Some(configured) = ctx.config.runtimes.get(name) {
        let path = find(&configured.path.to_string_lossy())
            .ok_or_else(|| bad(format!("{} cannot be executed", configured.path.display())))?;
        return Ok(Some(RuntimeRecord {
            path,
            args: configured.runtime_args.clone(),
        }));
    }
    if matches!(name, OWN | SHIM) {
        return Ok(None);
    }
    if !name.contains('/') && !KNOWN.contains(&name) {
        let configured: Vec<&str> = ctx.config.runtimes.keys().map(String::as_str).collect();
        return Err(bad(format!(
            "use {OWN}, a path, a program among {}{}{}",
            KNOWN.join(", "),
            if configured.is_empty() {
                ""
            } else {
                ", or one of the configuration: "
            },
            configured.join(", ")
        )));
    }
    match find(name) {
        Some(path) => Ok(Some(RuntimeRecord {
            path,
            args: Vec::new(),
        })),
        // As good as there: this binary answers to the name.
        None if name == "runc" => Ok(None),
        None => Err(bad(
            "no such program; install it, or name its path".to_owned()
        )),
    }
}

/// The runtimes there are beside this one, by name.
pub fn available(ctx: &Context) -> Vec<(String, PathBuf)> {
    let configured = ctx.config.runtimes.iter();
    let mut all: Vec<(String, PathBuf)> = configured
        .map(|(name, runtime)| (name.clone(), runtime.path.clone()))
        .collect();
    for name in KNOWN {
        if let Some(path) = find(name).filter(|_| !ctx.config.runtimes.contains_key(name)) {
            all.push((name.to_owned(), path));
        }
    }
    all
}

/// A path as it is, a name in `PATH` and then where administrators' programs lie.
fn find(name: &str) -> Option<PathBuf> {
    let executable = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if name.contains('/') {
        let path = std::path::absolute(name).ok()?;
        return executable(&path).then_some(path);
    }
    let given = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    let places = std::env::split_paths(&given).chain(usual.map(PathBuf::from));
    let mut found = places.map(|dir| dir.join(name));
    found.find(|path| path.is_absolute() && executable(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuntimeConfig;
    use crate::fixture::{context, refusal};

    #[test]
    fn our_own_names_mean_this_binary() {
        let (_dir, ctx) = context();
        for name in [
            None,
            Some(""),
            Some("dockless"),
            Some("io.containerd.runc.v2"),
        ] {
            assert_eq!(select(&ctx, name).unwrap(), None, "{name:?}");
        }
    }

    #[test]
    fn a_path_and_a_name_of_the_configuration_are_programs() {
        let (_dir, mut ctx) = context();
        let shell = select(&ctx, Some("/bin/sh")).unwrap().unwrap();
        assert_eq!(shell.path, Path::new("/bin/sh"));
        ctx.config.runtimes.insert(
            "mine".into(),
            RuntimeConfig {
                path: "/bin/sh".into(),
                runtime_args: vec!["--debug".into()],
            },
        );
        let mine = select(&ctx, Some("mine")).unwrap().unwrap();
        assert_eq!(mine.args, ["--debug"]);
        ctx.config.default_runtime = Some("mine".into());
        assert_eq!(select(&ctx, None).unwrap(), Some(mine));
        assert_eq!(select(&ctx, Some("dockless")).unwrap(), None);
    }

    #[test]
    fn a_word_that_is_no_runtime_is_never_executed() {
        let (_dir, ctx) = context();
        for name in ["ls", "nonsense", "/no/such/runtime", "/etc/passwd"] {
            let said = refusal(select(&ctx, Some(name)));
            assert!(
                said.starts_with("unknown or invalid runtime name"),
                "{said}"
            );
        }
    }
}
