//! `RUN --mount=type=…`: the option list, typed.
//!
//! Source: Dockerfile reference, "RUN --mount"; BuildKit `commands_runmount.go`.

use super::error::{Mistake, nearest};
use serde::Serialize;

/// One mount of a RUN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunMount {
    pub kind: RunMountKind,
    /// Absolute, or relative to the working directory. Empty for a secret that is a variable, and for an agent at the
    /// place its number among the instruction's agents gives it.
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum RunMountKind {
    Bind {
        source: String,
        from: Option<String>,
        writable: bool,
    },
    Cache(CacheMount),
    Tmpfs {
        size: Option<u64>,
    },
    Secret(SecretMount),
    Ssh(SshMount),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheMount {
    pub id: String,
    pub sharing: Sharing,
    pub read_only: bool,
    pub from: Option<String>,
    pub source: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Sharing {
    Shared,
    Private,
    Locked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretMount {
    pub id: String,
    /// The variable that holds it, instead of or beside the file.
    pub env: Option<String>,
    pub file: bool,
    pub required: bool,
    /// `None`: what the secret was handed over with, else 0400.
    pub mode: Option<u32>,
    pub uid: u32,
    pub gid: u32,
}

/// A socket that forwards to an agent of the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SshMount {
    pub id: String,
    pub required: bool,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

const OPTIONS: [&str; 17] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "env",
];

/// What the options say before the type gives them meaning.
#[derive(Default)]
struct Raw {
    kind: Option<String>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    writable: Option<bool>,
    id: Option<String>,
    sharing: Option<Sharing>,
    required: bool,
    size: Option<u64>,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
    env: Option<String>,
}

/// Reads the text after `--mount=`.
pub(crate) fn parse(text: &str) -> Result<RunMount, Mistake> {
    let bad = |cause: String| Mistake::Mount {
        text: text.to_owned(),
        cause,
    };
    let mut raw = Raw::default();
    for field in model::csv::fields(text).map_err(|cause| bad(cause.to_owned()))? {
        option(&mut raw, &field).map_err(bad)?;
    }
    typed(raw).map_err(bad)
}

/// The stage, image or context a mount comes from, without reading the rest.
pub(crate) fn from_of(text: &str) -> Option<String> {
    let fields = model::csv::fields(text).ok()?;
    fields
        .iter()
        .find_map(|field| field.strip_prefix("from=").map(str::to_owned))
        .filter(|from| !from.is_empty())
}

fn option(raw: &mut Raw, field: &str) -> Result<(), String> {
    let (key, value) = match field.split_once('=') {
        Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
        None => (field.to_ascii_lowercase(), None),
    };
    let flag = |value: Option<&str>| match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{key} is true or false, not {other:?}")),
    };
    match key.as_str() {
        "readonly" | "ro" => raw.writable = Some(!flag(value)?),
        "readwrite" | "rw" => raw.writable = Some(flag(value)?),
        "required" => raw.required = flag(value)?,
        _ => {
            let value = value.ok_or_else(|| format!("{key:?} needs a value: {key}=…"))?;
            valued(raw, &key, value)?;
        }
    }
    Ok(())
}

fn valued(raw: &mut Raw, key: &str, value: &str) -> Result<(), String> {
    let text = || Some(value.to_owned());
    let number = |radix| {
        u32::from_str_radix(value, radix).map_err(|_| format!("{key} is no number: {value:?}"))
    };
    match key {
        "type" => raw.kind = Some(value.to_ascii_lowercase()),
        "from" => raw.from = text().filter(|from| !from.is_empty()),
        "source" | "src" => raw.source = text(),
        "target" | "dst" | "destination" => raw.target = text(),
        "id" => raw.id = text(),
        "env" => raw.env = text(),
        "mode" => raw.mode = Some(number(8)?),
        "uid" => raw.uid = number(10)?,
        "gid" => raw.gid = number(10)?,
        "size" => raw.size = Some(model::size::parse(value).map_err(|error| error.to_string())?),
        "sharing" => {
            raw.sharing = Some(match value {
                "shared" => Sharing::Shared,
                "private" => Sharing::Private,
                "locked" => Sharing::Locked,
                _ => {
                    return Err(format!(
                        "sharing is shared, private or locked, not {value:?}"
                    ));
                }
            });
        }
        _ => {
            let near = nearest(key, &OPTIONS)
                .map(|n| format!(" (did you mean {n}?)"))
                .unwrap_or_default();
            return Err(format!("unexpected key {key:?}{near}"));
        }
    }
    Ok(())
}

fn typed(raw: Raw) -> Result<RunMount, String> {
    let needed = |target: Option<String>| match target {
        Some(target) if !target.is_empty() => Ok(target),
        _ => Err("target is required: target=/path".to_owned()),
    };
    match raw.kind.as_deref().unwrap_or("bind") {
        "bind" => {
            let source = raw.source.unwrap_or_else(|| "/".to_owned());
            let kind = RunMountKind::Bind {
                source,
                from: raw.from,
                writable: raw.writable.unwrap_or(false),
            };
            Ok(RunMount {
                kind,
                target: needed(raw.target)?,
            })
        }
        "cache" => {
            let target = needed(raw.target)?;
            let cache = CacheMount {
                id: raw.id.unwrap_or_else(|| target.clone()),
                sharing: raw.sharing.unwrap_or(Sharing::Shared),
                read_only: raw.writable == Some(false),
                from: raw.from,
                source: raw.source.unwrap_or_else(|| "/".to_owned()),
                mode: raw.mode.unwrap_or(0o755),
                uid: raw.uid,
                gid: raw.gid,
            };
            Ok(RunMount {
                kind: RunMountKind::Cache(cache),
                target,
            })
        }
        "tmpfs" => Ok(RunMount {
            kind: RunMountKind::Tmpfs { size: raw.size },
            target: needed(raw.target)?,
        }),
        "secret" => secret(raw),
        "ssh" => ssh(raw),
        other => Err(format!(
            "unsupported mount type {other:?}: use bind, cache, tmpfs, secret or ssh"
        )),
    }
}

fn ssh(raw: Raw) -> Result<RunMount, String> {
    if raw.source.is_some() || raw.from.is_some() {
        return Err("type ssh has no source: name the agent by id=".to_owned());
    }
    let id = raw.id.filter(|id| !id.is_empty());
    let ssh = SshMount {
        id: id.unwrap_or_else(|| crate::ssh::DEFAULT.to_owned()),
        required: raw.required,
        mode: raw.mode.unwrap_or(0o600),
        uid: raw.uid,
        gid: raw.gid,
    };
    Ok(RunMount {
        kind: RunMountKind::Ssh(ssh),
        target: raw.target.unwrap_or_default(),
    })
}

fn secret(raw: Raw) -> Result<RunMount, String> {
    let base = |path: &str| {
        path.trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let id = raw
        .id
        .or_else(|| raw.target.as_deref().or(raw.env.as_deref()).map(base));
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or("id is required: id=name")?;
    // With only a variable asked for, no file appears.
    let file = raw.target.is_some() || raw.env.is_none();
    let target = raw.target.unwrap_or_else(|| {
        if file {
            format!("/run/secrets/{id}")
        } else {
            String::new()
        }
    });
    let secret = SecretMount {
        id,
        env: raw.env,
        file,
        required: raw.required,
        mode: raw.mode,
        uid: raw.uid,
        gid: raw.gid,
    };
    Ok(RunMount {
        kind: RunMountKind::Secret(secret),
        target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_defaults() {
        let bind = parse("target=/src").unwrap();
        assert_eq!(
            bind.kind,
            RunMountKind::Bind {
                source: "/".into(),
                from: None,
                writable: false
            }
        );
        let RunMountKind::Cache(cache) =
            parse("type=cache,dst=/root/.cache,sharing=locked,mode=0700")
                .unwrap()
                .kind
        else {
            panic!("not a cache")
        };
        assert_eq!(
            (cache.id.as_str(), cache.sharing, cache.mode),
            ("/root/.cache", Sharing::Locked, 0o700)
        );
        assert_eq!(
            parse("type=tmpfs,target=/t,size=64m").unwrap().kind,
            RunMountKind::Tmpfs {
                size: Some(64 << 20)
            }
        );
        let secret = parse("type=secret,id=token").unwrap();
        assert_eq!(secret.target, "/run/secrets/token");
        assert_eq!(parse("type=secret,id=token,env=TOKEN").unwrap().target, "");
        let ssh = parse("type=ssh").unwrap();
        let RunMountKind::Ssh(agent) = ssh.kind else {
            panic!("no agent")
        };
        assert_eq!(
            (agent.id.as_str(), agent.mode, agent.required),
            ("default", 0o600, false)
        );
        assert_eq!(ssh.target, "");
        assert_eq!(parse("type=ssh,id=git,required").unwrap().target, "");
        assert_eq!(
            parse("type=bind,\"source=a,b\",target=/x,rw")
                .unwrap()
                .target,
            "/x"
        );
        assert_eq!(
            from_of("type=bind,from=build,target=/x").as_deref(),
            Some("build")
        );
    }

    #[test]
    fn mistakes_are_named() {
        let text = |input: &str| parse(input).unwrap_err().to_string();
        assert!(text("type=cache").contains("target is required"));
        assert!(text("type=ssh,source=/x").contains("no source"));
        assert!(text("type=cahce,target=/x").contains("unsupported mount type"));
        assert!(text("targte=/x").contains("did you mean target?"));
        assert!(text("target").contains("needs a value"));
        assert!(text("type=tmpfs,target=/t,size=99999999999999999999").contains("invalid size"));
        assert!(text("type=tmpfs,target=/t,size=18446744073709551615t").contains("invalid size"));
    }
}
