//! `healthcheck`.

use super::{Cursor, Decoder};
use model::health::{HealthTest, Healthcheck};

impl Decoder<'_> {
    pub(super) fn healthcheck(&mut self, at: &Cursor<'_>) -> Option<Healthcheck> {
        let disabled = self.flag(at, "disable").unwrap_or_default();
        let test = match (disabled, at.child("test")) {
            (true, _) => HealthTest::None,
            (false, None) => HealthTest::Inherit,
            (false, Some(test)) => self.health_test(&test)?,
        };
        Some(Healthcheck {
            test,
            interval: self.duration(at, "interval"),
            timeout: self.duration(at, "timeout"),
            start_period: self.duration(at, "start_period"),
            start_interval: self.duration(at, "start_interval"),
            retries: self.integer(at, "retries"),
        })
    }

    fn health_test(&mut self, at: &Cursor<'_>) -> Option<HealthTest> {
        let words: Vec<String> = at
            .items()
            .filter_map(|item| item.node.scalar_text())
            .collect();
        let test = match words.split_first() {
            None => HealthTest::Inherit,
            Some((first, [])) if first == "NONE" => HealthTest::None,
            Some((first, rest)) if first == "CMD" && !rest.is_empty() => {
                HealthTest::Cmd(rest.to_vec())
            }
            Some((first, rest)) if first == "CMD-SHELL" && !rest.is_empty() => {
                HealthTest::Shell(rest.join(" "))
            }
            Some((first, [])) if first == "CMD" || first == "CMD-SHELL" => {
                self.error(at, format!("{first} is followed by no command"));
                return None;
            }
            Some((first, _)) => {
                let message =
                    "healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\"";
                self.error_with_hint(
                    at,
                    message,
                    format!("write [\"CMD\", {first:?}, …], or the whole test as one string"),
                );
                return None;
            }
        };
        Some(test)
    }
}
