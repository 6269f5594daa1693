//! What is allowed in a Dockerfile and mostly a mistake.

use super::{Instruction, Lines, Stage};

/// The warnings of a whole file, in its order by stage.
pub(super) fn warnings(stages: &[Stage]) -> Vec<(Lines, String)> {
    let mut found = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let name = stage.from.what.name.as_deref();
        if let Some(name) = name.filter(|n| {
            stages[..index]
                .iter()
                .any(|s| s.from.what.name.as_deref() == Some(n))
        }) {
            found.push((
                stage.from.lines,
                format!("duplicate stage name {name:?}, stage names should be unique"),
            ));
        }
        for kind in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
            let all: Vec<_> = stage
                .instructions
                .iter()
                .filter(|i| i.what.name() == kind)
                .collect();
            if let [.., extra, _] = all.as_slice() {
                found.push((
                    extra.lines,
                    format!("multiple {kind} instructions: only the last one has an effect"),
                ));
            }
        }
        for placed in &stage.instructions {
            if matches!(placed.what, Instruction::Maintainer(_)) {
                let text = "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors";
                found.push((placed.lines, text.to_owned()));
            }
        }
    }
    found
}
