//! An instruction's `--flags`, checked against those it knows.

use super::error::{Mistake, nearest};
use super::words::Flag;

/// The flags an instruction was given, checked against those it knows.
pub(super) struct Flags<'a> {
    flags: &'a [Flag],
}

impl<'a> Flags<'a> {
    pub(super) fn of(
        instruction: &'static str,
        flags: &'a [Flag],
        known: &[&'static str],
    ) -> Result<Self, Mistake> {
        for (index, flag) in flags.iter().enumerate() {
            if !known.contains(&flag.name.as_str()) {
                let nearest = nearest(&flag.name, known);
                return Err(Mistake::UnknownFlag {
                    instruction,
                    flag: flag.name.clone(),
                    nearest,
                });
            }
            let repeats = ["mount", "exclude", "device"].contains(&flag.name.as_str());
            if !repeats
                && flags[..index]
                    .iter()
                    .any(|earlier| earlier.name == flag.name)
            {
                return Err(Mistake::DuplicateFlag(flag.name.clone()));
            }
        }
        Ok(Self { flags })
    }

    pub(super) fn take_all(&mut self, name: &str) -> Result<Vec<String>, Mistake> {
        let named = self.flags.iter().filter(|flag| flag.name == name);
        let value = |flag: &Flag| {
            flag.value
                .clone()
                .ok_or_else(|| Mistake::FlagWithoutValue(name.to_owned()))
        };
        named.map(value).collect()
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Mistake> {
        Ok(self.take_all(name)?.pop())
    }

    pub(super) fn take_bool(&mut self, name: &str) -> Result<Option<bool>, Mistake> {
        let Some(flag) = self.flags.iter().find(|flag| flag.name == name) else {
            return Ok(None);
        };
        match flag
            .value
            .as_deref()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Mistake::FlagNotBoolean {
                flag: name.to_owned(),
                value: other.to_owned(),
            }),
        }
    }
}
