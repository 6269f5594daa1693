//! `cp`.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::copy::{Kind, Options, Owner, View, normal, pack, transfer, unpack};
use std::io::IsTerminal;

pub(crate) const VERB: Verb = verb::<Copy>(
    &["cp", "container cp"],
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem, or another container",
)
.exactly(2)
.examples("cp web:/etc/nginx/nginx.conf .\ncp ./site/. web:/usr/share/nginx/html\ncp web:/var/log - | tar t");

#[derive(Debug, Args)]
struct Copy {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true)]
    source: String,
    #[arg(required = true)]
    target: String,
}

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Side<'a> {
    /// An archive on standard input or output.
    Stream,
    Host(&'a str),
    Container(&'a str, &'a str),
}

impl<'a> Side<'a> {
    /// `CONTAINER:PATH`, unless it begins as a path: `./a:b` and `/a:b` are files.
    fn parse(text: &'a str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((name, path)) if !name.is_empty() && !text.starts_with(['/', '.']) => {
                Self::Container(name, path)
            }
            _ => Self::Host(text),
        }
    }
}

impl Run for Copy {
    fn run(self, session: &Session) -> Outcome {
        let options = Options {
            archive: self.archive,
            follow: self.follow_link,
        };
        match (Side::parse(&self.source), Side::parse(&self.target)) {
            (Side::Container(name, path), Side::Stream) => {
                write_archive(session, name, path, options)?
            }
            (Side::Stream, Side::Container(name, path)) => {
                read_archive(session, name, path, options)?
            }
            (Side::Container(name, path), Side::Host(target)) => {
                let target = absolute(target)?;
                transfer(
                    &view(session, name)?,
                    path,
                    &View::host()?,
                    &target,
                    options,
                )?;
                self.tell(&format!("Successfully copied to {target}"));
            }
            (Side::Host(source), Side::Container(name, path)) => {
                transfer(
                    &View::host()?,
                    &absolute(source)?,
                    &view(session, name)?,
                    path,
                    options,
                )?;
                self.tell(&format!("Successfully copied to {name}:{path}"));
            }
            (Side::Container(from, source), Side::Container(to, target)) => {
                transfer(
                    &view(session, from)?,
                    source,
                    &view(session, to)?,
                    target,
                    options,
                )?;
                self.tell(&format!("Successfully copied to {to}:{target}"));
            }
            _ => {
                return Err(Failure::said("must specify at least one container source")
                    .hint("write one side as CONTAINER:PATH"));
            }
        }
        Ok(0)
    }
}

impl Copy {
    fn tell(&self, text: &str) {
        if !self.quiet && std::io::stderr().is_terminal() {
            output::note(text);
        }
    }
}

fn view(session: &Session, name: &str) -> Result<View, Failure> {
    Ok(View::container(
        session.engine()?,
        &super::find(session, name)?,
    )?)
}

/// The absolute path; a last `/` or `/.` says something and stays.
fn absolute(path: &str) -> Result<String, Failure> {
    let here = std::env::current_dir().map_err(Failure::system("tell the current directory"))?;
    Ok(match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{}/{path}", here.display()),
    })
}

fn write_archive(
    session: &Session,
    name: &str,
    path: &str,
    options: Options,
) -> Result<(), Failure> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        return Err(Failure::said("cowardly refusing to copy to a terminal")
            .hint("redirect it, or name a file"));
    }
    let from = view(session, name)?;
    let source = normal(path);
    if from.stat(&source, options.follow)?.is_none() {
        return Err(Failure::said(format!(
            "Could not find the file {path} in container {name}"
        )));
    }
    let base = source.file_name().map_or_else(
        || ".".to_owned(),
        |base| base.to_string_lossy().into_owned(),
    );
    Ok(pack(
        &from,
        &source,
        &base,
        options.follow,
        &mut stdout.lock(),
    )?)
}

fn read_archive(
    session: &Session,
    name: &str,
    path: &str,
    options: Options,
) -> Result<(), Failure> {
    let to = view(session, name)?;
    let target = normal(path);
    match to.stat(&target, true)?.map(|stat| stat.kind) {
        Some(Kind::Directory) => {}
        Some(_) => {
            return Err(Failure::said(format!(
                "destination \"{name}:{path}\" must be a directory"
            )));
        }
        None => {
            return Err(Failure::said(format!(
                "Could not find the file {path} in container {name}"
            )));
        }
    }
    let owner = if options.archive {
        Owner::Keep
    } else {
        Owner::Root
    };
    Ok(unpack(&to, &target, owner, &mut std::io::stdin().lock())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_container_only_when_it_looks_like_one() {
        assert_eq!(Side::parse("web:/etc"), Side::Container("web", "/etc"));
        assert_eq!(Side::parse("web:"), Side::Container("web", ""));
        assert_eq!(Side::parse("./a:b"), Side::Host("./a:b"));
        assert_eq!(Side::parse("/a:b"), Side::Host("/a:b"));
        assert_eq!(Side::parse(":x"), Side::Host(":x"));
        assert_eq!(Side::parse("file"), Side::Host("file"));
        assert_eq!(Side::parse("-"), Side::Stream);
    }
}
