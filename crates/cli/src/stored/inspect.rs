//! `secret inspect`, `config inspect`. A secret's content is shown only when it is asked for; a config's is no secret.

use super::RunFor;
use crate::failure::{Failure, Outcome};
use crate::inspect::{show, template};
use crate::session::Session;
use clap::Args;
use engine::stored::{self, Kind, StoredRecord};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Print the information in a human friendly format
    #[arg(long)]
    pretty: bool,
    /// Display the secret
    #[arg(long)]
    showsecret: bool,
    #[arg(required = true)]
    names: Vec<String>,
}

impl RunFor for Inspect {
    fn run(self, session: &Session, kind: Kind) -> Outcome {
        let ctx = session.engine()?;
        let template = template(self.format.as_deref())?;
        if self.pretty && template.is_some() {
            return Err(Failure::usage("--format is incompatible with --pretty"));
        }
        let mut found = Vec::new();
        let code = session.each(&self.names, |name| {
            let kept = stored::find(ctx, kind, name)?;
            let content = match kind {
                Kind::Secret if !self.showsecret => None,
                _ => Some(stored::read(ctx, kind, &kept)?),
            };
            if self.pretty {
                return pretty(kind, &kept, content.as_deref());
            }
            found.push(object(kind, &kept, content.as_deref()));
            Ok(())
        });
        if !self.pretty {
            show(found, template.as_ref())?;
        }
        code
    }
}

fn object(kind: Kind, kept: &StoredRecord, content: Option<&[u8]>) -> Value {
    let time = kept.created.to_string();
    let mut object = json!({
        "ID": kept.id,
        "Version": { "Index": 1 },
        "CreatedAt": time,
        "UpdatedAt": time,
        "Spec": { "Name": kept.name, "Labels": kept.labels },
    });
    match (kind, content) {
        (_, None) => {}
        (Kind::Config, Some(content)) => object["Spec"]["Data"] = base64(content).into(),
        (Kind::Secret, Some(content)) => {
            object["SecretData"] = String::from_utf8_lossy(content).into();
        }
    }
    object
}

fn pretty(kind: Kind, kept: &StoredRecord, content: Option<&[u8]>) -> Result<(), Failure> {
    use crate::output::text;
    text(&format!("ID:\t\t\t{}\nName:\t\t\t{}\n", kept.id, kept.name))?;
    if !kept.labels.is_empty() {
        text("Labels:\n")?;
        for (key, value) in &kept.labels {
            text(&format!(" - {key}={value}\n"))?;
        }
    }
    let time = kept.created;
    text(&format!(
        "Created at:            \t{time}\nUpdated at:            \t{time}\n"
    ))?;
    if let (Kind::Config, Some(content)) = (kind, content) {
        text(&format!("Data:\n{}\n", String::from_utf8_lossy(content)))?;
    }
    Ok(())
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn contents_of_configs_are_shown_as_docker_shows_them() {
        for (text, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }
}
