//! `post_start`, `pre_stop`, `pre_start`, and `develop.watch`.

use super::{Cursor, Decoder};
use crate::project::{Develop, Hook, InitHook, Watch, WatchAction};

impl Decoder<'_> {
    /// A hook that runs in the service's container; it needs a command.
    pub(super) fn hook(&mut self, at: &Cursor<'_>) -> Option<Hook> {
        let hook = self.any_hook(at);
        if hook.command.is_empty() {
            self.error_with_hint(at, "a hook has no command", "add \"command: …\"");
            return None;
        }
        Some(hook)
    }

    pub(super) fn init_hook(&mut self, at: &Cursor<'_>) -> InitHook {
        InitHook {
            hook: self.any_hook(at),
            image: self.filled(at, "image"),
            per_replica: self.flag(at, "per_replica").unwrap_or_default(),
        }
    }

    fn any_hook(&mut self, at: &Cursor<'_>) -> Hook {
        Hook {
            command: self.texts(at, "command"),
            user: self.filled(at, "user"),
            privileged: self.flag(at, "privileged").unwrap_or_default(),
            working_dir: self.filled(at, "working_dir"),
            environment: self.pairs(at, "environment"),
        }
    }

    pub(super) fn develop(&mut self, at: &Cursor<'_>) -> Develop {
        Develop {
            watch: self.list(at, "watch", Self::watch),
        }
    }

    fn watch(&mut self, at: &Cursor<'_>) -> Option<Watch> {
        let actions = [
            ("rebuild", WatchAction::Rebuild),
            ("restart", WatchAction::Restart),
            ("sync", WatchAction::Sync),
            ("sync+restart", WatchAction::SyncRestart),
            ("sync+exec", WatchAction::SyncExec),
        ];
        let (path, action) = (self.filled(at, "path"), self.word(at, "action", &actions));
        let (Some(path), Some(action)) = (path, action) else {
            if !at.has("path") || !at.has("action") {
                self.error(at, "a watch rule needs path and action");
            }
            return None;
        };
        let target = self.filled(at, "target");
        let syncs = matches!(
            action,
            WatchAction::Sync | WatchAction::SyncRestart | WatchAction::SyncExec
        );
        if syncs && target.is_none() {
            self.error_with_hint(
                at,
                "a watch rule that syncs names no target",
                "add \"target: /path/in/the/container\"",
            );
        }
        let exec = at.child("exec").and_then(|exec| self.hook(&exec));
        if action == WatchAction::SyncExec && exec.is_none() {
            self.error_with_hint(
                at,
                "a watch rule of action sync+exec has no exec",
                "add \"exec: {command: …}\"",
            );
        }
        Some(Watch {
            path,
            action,
            target,
            ignore: self.texts(at, "ignore"),
            include: self.texts(at, "include"),
            exec,
            initial_sync: self.flag(at, "initial_sync").unwrap_or_default(),
        })
    }
}
