//! Which value a variable has where: global ARGs, a stage's ARGs and ENV, build arguments, and what the
//! builder sets itself.
//!
//! Source: Dockerfile reference, "Scope", "Using ARG variables", "Predefined ARGs". ENV wins over ARG; a global
//! ARG exists in a stage only once it is declared there; the proxy arguments need no declaration and are part
//! of neither cache keys nor history.

use crate::dockerfile::{Declarations, Placed, SyntaxError};
use crate::expand;
use std::collections::BTreeMap;

const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// A list of `KEY=value` that keeps its order.
pub type Variables = Vec<(String, String)>;

/// The arguments that hold before the first stage.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// `--build-arg`, and those without a value that the caller found in its environment.
    pub build_args: BTreeMap<String, String>,
    /// TARGETPLATFORM and its like.
    pub automatic: BTreeMap<String, String>,
    /// The ARGs before the first FROM.
    pub declared: BTreeMap<String, String>,
    pub escape: char,
}

impl Globals {
    /// Evaluates the ARGs before the first FROM.
    pub fn new(
        args: &[Placed<Declarations>],
        build_args: BTreeMap<String, String>,
        automatic: BTreeMap<String, String>,
        escape: char,
    ) -> Result<Self, SyntaxError> {
        let mut globals = Self {
            build_args,
            automatic,
            declared: BTreeMap::new(),
            escape,
        };
        for placed in args {
            let start = globals.clone();
            for (name, default) in &placed.what {
                let value = match (globals.build_args.get(name), default) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(default)) => {
                        let expanded = expand::word(default, escape, &|name| start.get(name));
                        Some(
                            expanded
                                .map_err(|cause| SyntaxError::at(placed.lines, cause.into()))?,
                        )
                    }
                    (None, None) => globals.automatic.get(name).cloned(),
                };
                if let Some(value) = value {
                    globals.declared.insert(name.clone(), value);
                }
            }
        }
        Ok(globals)
    }

    /// A value as FROM sees it.
    pub fn get(&self, name: &str) -> Option<String> {
        self.declared
            .get(name)
            .or_else(|| self.automatic.get(name))
            .cloned()
    }
}

/// The variables of a stage at one instruction.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub env: Variables,
    /// Declared ARGs in order; `None`: declared, without a value.
    pub args: Vec<(String, Option<String>)>,
}

impl Scope {
    /// A value as an instruction sees it.
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.env.iter().find(|(key, _)| key == name) {
            return Some(value.clone());
        }
        self.args
            .iter()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.clone())
    }

    pub fn set_env(&mut self, name: &str, value: &str) {
        match self.env.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.env.push((name.to_owned(), value.to_owned())),
        }
    }

    /// `ARG name[=default]`, the default expanded already.
    pub fn declare(&mut self, name: &str, default: Option<String>, globals: &Globals) {
        let given = globals.build_args.get(name).cloned();
        let value = given.or(default).or_else(|| globals.get(name));
        match self.args.iter_mut().find(|(key, _)| key == name) {
            // Declared again without anything new to say: what it was stays.
            Some((_, old)) if value.is_some() => *old = value,
            Some(_) => {}
            None => self.args.push((name.to_owned(), value)),
        }
    }

    /// The ARGs a RUN sees as variables: those with a value that ENV does not set.
    pub fn visible_args(&self) -> Variables {
        let with_value = self
            .args
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        with_value
            .filter(|(name, _)| !self.env.iter().any(|(key, _)| key == name))
            .collect()
    }

    /// The environment of a RUN that its cache key and history speak of: ENV and ARGs.
    pub fn run_env(&self) -> Variables {
        let mut env = self.visible_args();
        env.extend(self.env.iter().cloned());
        env
    }
}

/// The proxy arguments given but not declared: RUN gets them, nothing else knows of them.
pub fn proxies(scope: &Scope, globals: &Globals) -> Variables {
    let given = globals
        .build_args
        .iter()
        .filter(|(name, _)| PROXIES.contains(&name.as_str()));
    let unset = given.filter(|(name, _)| scope.get(name).is_none());
    unset
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Whether a build argument may be given without any ARG asking for it.
pub fn is_predefined(name: &str) -> bool {
    const SPECIAL: [&str; 2] = ["SOURCE_DATE_EPOCH", "BUILDKIT_SYNTAX"];
    PROXIES.contains(&name) || SPECIAL.contains(&name) || name.starts_with("BUILDKIT_")
}

/// TARGETPLATFORM, BUILDPLATFORM and their parts; TARGETSTAGE.
pub fn automatic(platform: &oci::Platform, target: &str) -> BTreeMap<String, String> {
    let variant = platform.variant.clone().unwrap_or_default();
    // The level of an amd64 CPU is no part of Docker's platform name.
    let variant = if platform.architecture == "amd64" {
        String::new()
    } else {
        variant
    };
    let mut whole = format!("{}/{}", platform.os, platform.architecture);
    if !variant.is_empty() {
        whole = format!("{whole}/{variant}");
    }
    let mut values = BTreeMap::from([("TARGETSTAGE".to_owned(), target.to_owned())]);
    for side in ["TARGET", "BUILD"] {
        values.insert(format!("{side}PLATFORM"), whole.clone());
        values.insert(format!("{side}OS"), platform.os.clone());
        values.insert(format!("{side}ARCH"), platform.architecture.clone());
        values.insert(format!("{side}VARIANT"), variant.clone());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile;

    fn globals(text: &str, given: &[(&str, &str)]) -> Globals {
        let file = dockerfile::parse(text).unwrap();
        let given = given
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let automatic = automatic(&oci::Platform::new("linux", "amd64", Some("v3")), "");
        Globals::new(&file.args, given, automatic, '\\').unwrap()
    }

    #[test]
    fn global_args_see_earlier_lines_but_not_their_own() {
        let globals = globals("ARG a=1 b=$a\nARG c=$a-$TARGETARCH\nFROM x", &[]);
        assert_eq!(globals.get("b").as_deref(), Some(""));
        assert_eq!(globals.get("c").as_deref(), Some("1-amd64"));
        assert_eq!(
            globals.get("TARGETPLATFORM").as_deref(),
            Some("linux/amd64")
        );
    }

    #[test]
    fn precedence_in_a_stage() {
        let globals = globals(
            "ARG v=global\nFROM x",
            &[("given", "flag"), ("HTTP_PROXY", "p")],
        );
        let mut scope = Scope::default();
        assert_eq!(scope.get("v"), None, "not declared in the stage yet");
        scope.declare("v", None, &globals);
        assert_eq!(scope.get("v").as_deref(), Some("global"));
        scope.declare("given", Some("default".into()), &globals);
        assert_eq!(scope.get("given").as_deref(), Some("flag"));
        scope.set_env("given", "env");
        scope.declare("given", Some("again".into()), &globals);
        assert_eq!(
            scope.get("given").as_deref(),
            Some("env"),
            "ENV wins over ARG"
        );
        assert_eq!(
            scope.visible_args(),
            [("v".to_owned(), "global".to_owned())]
        );
        assert_eq!(
            proxies(&scope, &globals),
            [("HTTP_PROXY".to_owned(), "p".to_owned())]
        );
        scope.declare("none", None, &globals);
        assert_eq!(scope.get("none"), None);
    }
}
