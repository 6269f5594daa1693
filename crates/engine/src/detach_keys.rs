//! The key sequence that leaves a container without stopping it (`--detach-keys`, ctrl-p ctrl-q).
//!
//! Source: Docker CLI reference ("Override the detach sequence"), moby `pkg/term/ascii.go`.

/// Docker's default.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// Reads `ctrl-p,ctrl-q`, `ctrl-@`, `a`, ….
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    text.split(',')
        .filter(|_| !text.is_empty())
        .map(key)
        .collect()
}

fn key(text: &str) -> Result<u8, String> {
    if let [byte] = text.as_bytes() {
        return Ok(*byte);
    }
    let control = text.to_ascii_lowercase();
    match control.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
        Some([b'@']) => Ok(0),
        Some([sign @ (b'[' | b'\\' | b']' | b'^' | b'_')]) => Ok(sign - b'[' + 27),
        _ => Err(format!("Unknown character: '{text}'")),
    }
}

/// Watches what is typed for the sequence.
#[derive(Debug)]
pub struct Detector {
    keys: Vec<u8>,
    matched: usize,
}

impl Detector {
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// What of `typed` goes on to the container, and whether the sequence is complete. The beginning of a sequence
    /// is held back until it is clear that it is none.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len());
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] {
                self.matched = 1;
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read() {
        assert_eq!(parse(DEFAULT).unwrap(), [16, 17]);
        assert_eq!(parse("a,ctrl-@,ctrl-_").unwrap(), [b'a', 0, 31]);
        assert_eq!(parse("").unwrap(), Vec::<u8>::new());
        assert!(parse("ctrl-p,nope").unwrap_err().contains("nope"));
        assert!(parse("ctrl-é").is_err());
    }

    #[test]
    fn the_sequence_is_found_over_several_reads_and_its_beginning_is_not_lost() {
        let mut keys = Detector::new(vec![16, 17]);
        assert_eq!(keys.filter(b"ls\x10"), (b"ls".to_vec(), false));
        assert_eq!(keys.filter(b"x"), (b"\x10x".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11more"), (Vec::new(), true));
        assert_eq!(
            Detector::new(Vec::new()).filter(b"\x10\x11"),
            (b"\x10\x11".to_vec(), false)
        );
    }
}
