//! Which rule of `develop.watch` a changed file falls under, and what is to be done for it. Pure but for reading `.dockerignore`.
//!
//! Source: Compose Develop Specification; docker/compose `pkg/watch` for what is always left out.

use build::ignore::Ignore;
use compose_file::project::{Hook, Service, Watch, WatchAction};
use compose_file::{Diagnostic, Project};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What editors and version control leave beside files.
const NEVER: &str = "**/.git\n**/*~\n**/.#*\n**/*.swp\n**/*.swx\n**/4913\n**/.idea\n**/.DS_Store";

/// One rule, with what it leaves out.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) service: String,
    pub(super) watch: Watch,
    /// By paths relative to the rule's path.
    ignore: Ignore,
    /// Empty: all.
    include: Ignore,
    /// `.dockerignore` of the build context, by paths relative to that.
    context: Option<(PathBuf, Ignore)>,
    never: Ignore,
}

/// What is to be done for one service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) rebuild: bool,
    pub(super) restart: bool,
    /// From where on the host to where in the containers.
    pub(super) sync: BTreeMap<PathBuf, PathBuf>,
    pub(super) execs: Vec<Hook>,
}

impl Rule {
    /// All rules of the services, or all that is wrong with them.
    pub(super) fn all(
        project: &Project,
        services: &[&Service],
    ) -> Result<Vec<Self>, Vec<Diagnostic>> {
        let (mut rules, mut wrong) = (Vec::new(), Vec::new());
        for service in services {
            let watches = service.develop.iter().flat_map(|develop| &develop.watch);
            for (index, watch) in watches.enumerate() {
                let path = format!("services.{}.develop.watch[{index}]", service.name);
                match Self::new(service, watch) {
                    Ok(rule) => rules.push(rule),
                    Err(why) => wrong.push(project.error_at(&path, why)),
                }
            }
        }
        if wrong.is_empty() {
            Ok(rules)
        } else {
            Err(wrong)
        }
    }

    fn new(service: &Service, watch: &Watch) -> Result<Self, String> {
        if watch.action == WatchAction::Rebuild && service.build.is_none() {
            return Err("action rebuild, but the service has no build".to_owned());
        }
        if !Path::new(&watch.path).exists() {
            return Err(format!("there is no {} to watch", watch.path));
        }
        let rules = |name: &str, lines: &[String]| {
            Ignore::parse(name, &lines.join("\n")).map_err(|error| error.to_string())
        };
        let directory = service
            .build
            .as_ref()
            .filter(|build| !build.is_remote())
            .map(|build| PathBuf::from(&build.context));
        let context = directory.map(|directory| {
            let text = std::fs::read_to_string(directory.join(".dockerignore"));
            let ignore = Ignore::parse(".dockerignore", &text.unwrap_or_default());
            ignore
                .map(|ignore| (directory, ignore))
                .map_err(|error| error.to_string())
        });
        Ok(Self {
            service: service.name.clone(),
            watch: watch.clone(),
            ignore: rules("ignore", &watch.ignore)?,
            include: rules("include", &watch.include)?,
            context: context.transpose()?,
            never: Ignore::parse("", NEVER).map_err(|error| error.to_string())?,
        })
    }

    /// Whether a path is left out with everything in it.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        let out = |ignore: &Ignore, base: &Path| {
            let rest = path.strip_prefix(base).ok().and_then(Path::to_str);
            rest.is_some_and(|rest| !rest.is_empty() && ignore.excludes(rest))
        };
        let base = Path::new(&self.watch.path);
        out(&self.never, base)
            || out(&self.ignore, base)
            || self
                .context
                .as_ref()
                .is_some_and(|(directory, ignore)| out(ignore, directory))
    }

    /// The path below the rule's own, if the rule is about it.
    fn fits(&self, path: &Path) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.watch.path).ok()?;
        let text = rest.to_str()?;
        let included = self.include.is_empty() || text.is_empty() || self.include.excludes(text);
        (included && !self.leaves_out(path)).then(|| rest.to_owned())
    }

    fn add(&self, deed: &mut Deed, path: &Path, rest: &Path) {
        let action = self.watch.action;
        let syncs = matches!(
            action,
            WatchAction::Sync | WatchAction::SyncRestart | WatchAction::SyncExec
        );
        if let Some(target) = self.watch.target.as_deref().filter(|_| syncs) {
            let target = match rest.as_os_str().is_empty() {
                true => PathBuf::from(target),
                false => Path::new(target).join(rest),
            };
            deed.sync.insert(path.to_owned(), target);
        }
        deed.rebuild |= action == WatchAction::Rebuild;
        deed.restart |= matches!(action, WatchAction::Restart | WatchAction::SyncRestart);
        if let Some(exec) = &self.watch.exec
            && action == WatchAction::SyncExec
            && !deed.execs.contains(exec)
        {
            deed.execs.push(exec.clone());
        }
    }
}

/// What the changed paths ask for, by service.
pub(super) fn decide(rules: &[Rule], changed: &BTreeSet<PathBuf>) -> BTreeMap<String, Deed> {
    let mut deeds: BTreeMap<String, Deed> = BTreeMap::new();
    for path in changed {
        for rule in rules {
            if let Some(rest) = rule.fits(path) {
                rule.add(deeds.entry(rule.service.clone()).or_default(), path, &rest);
            }
        }
    }
    deeds
}

/// What `initial_sync` asks for before anything changes: the files that are there.
pub(super) fn initial(rules: &[Rule]) -> BTreeMap<String, Deed> {
    let mut deeds: BTreeMap<String, Deed> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.watch.initial_sync) {
        let mut files = BTreeSet::new();
        below(rule, Path::new(&rule.watch.path), &mut files);
        let deed = deeds.entry(rule.service.clone()).or_default();
        for path in &files {
            if let Some(rest) = rule.fits(path) {
                let mut one = Deed::default();
                rule.add(&mut one, path, &rest);
                deed.sync.extend(one.sync);
            }
        }
    }
    deeds
}

fn below(rule: &Rule, path: &Path, files: &mut BTreeSet<PathBuf>) {
    if rule.leaves_out(path) {
        return;
    }
    let is_directory = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if !is_directory {
        files.insert(path.to_owned());
    }
    for entry in std::fs::read_dir(path)
        .ok()
        .filter(|_| is_directory)
        .into_iter()
        .flatten()
        .flatten()
    {
        below(rule, &entry.path(), files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compose_file::project::Develop;

    fn rules(watch: Vec<Watch>) -> Vec<Rule> {
        let service = Service {
            name: "web".into(),
            develop: Some(Develop { watch }),
            ..Service::default()
        };
        Rule::all(&Project::default(), &[&service]).unwrap()
    }

    fn watch(path: &Path, action: WatchAction) -> Watch {
        Watch {
            path: path.display().to_string(),
            action,
            target: Some("/app".into()),
            ignore: vec!["node_modules/".into(), "*.log".into()],
            include: Vec::new(),
            exec: Some(Hook::default()),
            initial_sync: true,
        }
    }

    #[test]
    fn a_change_asks_for_what_its_rules_say_and_ignored_ones_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let rules = rules(vec![watch(root, WatchAction::SyncExec)]);
        let changed = ["a/b.js", "node_modules/x", "y.log", ".git/HEAD", "a/.c.swp"];
        let deeds = decide(&rules, &changed.map(|path| root.join(path)).into());
        let deed = &deeds["web"];
        assert_eq!(
            deed.sync,
            [(root.join("a/b.js"), "/app/a/b.js".into())].into()
        );
        assert_eq!(
            (deed.execs.len(), deed.restart, deed.rebuild),
            (1, false, false)
        );
        let ignored = [root.join("y.log"), "/elsewhere".into()];
        assert!(decide(&rules, &ignored.into()).is_empty());
    }

    #[test]
    fn only_what_is_included_counts_and_what_is_there_is_synced_first() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir(root.join("src")).unwrap();
        for name in ["src/a.js", "src/b.css", "y.log"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let mut only = watch(root, WatchAction::SyncRestart);
        only.include = vec!["**/*.js".into()];
        let rules = rules(vec![only]);
        let first = &initial(&rules)["web"];
        assert_eq!(
            first.sync,
            [(root.join("src/a.js"), "/app/src/a.js".into())].into()
        );
        assert!(!first.restart);
    }

    #[test]
    fn what_cannot_be_watched_is_told_at_its_place() {
        let service = Service {
            name: "web".into(),
            develop: Some(Develop {
                watch: vec![
                    watch(Path::new("/no/such/place"), WatchAction::Sync),
                    watch(Path::new("/"), WatchAction::Rebuild),
                ],
            }),
            ..Service::default()
        };
        let wrong = Rule::all(&Project::default(), &[&service]).unwrap_err();
        let told: Vec<&str> = wrong.iter().map(|d| d.path.as_str()).collect();
        assert_eq!(
            told,
            [
                "services.web.develop.watch[0]",
                "services.web.develop.watch[1]"
            ]
        );
    }
}
