//! Where an archive goes: a file that has its name only when it is whole, or standard output.

use crate::failure::Failure;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Writes an archive to the file of `-o`, or to standard output unless that is a terminal. `verb` is for the message.
pub(crate) fn write(
    output: Option<&Path>,
    verb: &str,
    make: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(path) = output else {
        let stdout = std::io::stdout();
        if stdout.is_terminal() {
            return Err(
                Failure::said(format!("cowardly refusing to {verb} to a terminal"))
                    .hint("use the -o flag or redirect"),
            );
        }
        return make(&mut BufWriter::with_capacity(1 << 20, stdout.lock()));
    };
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            let path = path.display();
            return Err(
                Failure::said(format!("cannot write {path}: it is a directory"))
                    .hint(format!("name a file in it: -o {path}/NAME.tar")),
            );
        }
        // A device or a pipe stays what it is.
        Ok(there) if !there.is_file() => return write_into(path, make),
        _ => {}
    }
    // A link leads to the file that is meant. Beside its place first: what has the name is whole.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let partial = PathBuf::from(format!("{}.partial", path.display()));
    let written = write_file(path, &partial, make);
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_into(
    path: &Path,
    make: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = || Failure::system(format!("write {}", path.display()));
    let opened = File::options().write(true).open(path).map_err(failed())?;
    let mut file = BufWriter::with_capacity(1 << 20, opened);
    make(&mut file)?;
    file.flush().map_err(failed())
}

fn write_file(
    path: &Path,
    partial: &Path,
    make: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = || Failure::system(format!("write {}", path.display()));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(partial).map_err(failed())?);
    make(&mut file)?;
    file.flush().map_err(failed())?;
    std::fs::rename(partial, path).map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let name = format!("dockless-sink-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.tar");
        let failed = write(Some(&path), "save", |out| {
            out.write_all(b"half")?;
            Err(Failure::said("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        write(Some(&path), "save", |out| Ok(out.write_all(b"whole")?)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let name = format!("dockless-sink-kinds-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let make = |out: &mut dyn Write| Ok(out.write_all(b"whole")?);
        let error = write(Some(&dir), "save", make).unwrap_err();
        assert!(error.chain().ends_with("it is a directory"), "{error}");
        let (socket, link, file) = (dir.join("s"), dir.join("link"), dir.join("file"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(write(Some(&socket), "save", make).is_err());
        assert!(!std::fs::symlink_metadata(&socket).unwrap().is_file());
        std::fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(Some(&link), "save", make).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"whole");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        write(Some(Path::new("/dev/full")), "save", make).unwrap_err();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
