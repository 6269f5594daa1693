//! Lists of ports as records keep them: a run of consecutive ones is one entry, `[first, how many]`, so that a range of
//! thousands is as short to write and to read as a single port. What stands alone is written as it is.
//!
//! For `#[serde(with = "model::runs")]`.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that can come `by` places after another of its kind.
pub trait Consecutive: Copy + PartialEq {
    /// `None` when there is nothing there: the numbers have come to their end.
    fn after(&self, by: u16) -> Option<Self>;
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Entry<T> {
    Run(T, u32),
    One(T),
}

pub fn serialize<T: Consecutive + Serialize, S: Serializer>(
    list: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(runs(list).into_iter().map(|(first, length)| match length {
        1 => Entry::One(first),
        _ => Entry::Run(first, length),
    }))
}

pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Consecutive + DeserializeOwned,
    D: Deserializer<'de>,
{
    let mut list = Vec::new();
    for entry in Vec::<Entry<T>>::deserialize(deserializer)? {
        match entry {
            Entry::One(one) => list.push(one),
            Entry::Run(first, length) => {
                for by in 0..length {
                    let next = u16::try_from(by).ok().and_then(|by| first.after(by));
                    list.push(next.ok_or_else(|| D::Error::custom("a run of too many ports"))?);
                }
            }
        }
    }
    Ok(list)
}

/// Each run's first element and length.
fn runs<T: Consecutive>(list: &[T]) -> Vec<(T, u32)> {
    let mut runs: Vec<(T, u32)> = Vec::new();
    for one in list {
        match runs.last_mut() {
            Some((first, length))
                if u16::try_from(*length).is_ok_and(|by| first.after(by) == Some(*one)) =>
            {
                *length += 1;
            }
            _ => runs.push((*one, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use crate::port::{ContainerPort, PortBinding, parse, parse_expose};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        #[serde(with = "crate::runs")]
        ports: Vec<PortBinding>,
        #[serde(with = "crate::runs")]
        exposed: Vec<ContainerPort>,
    }

    fn record(ports: &[&str], exposed: &str) -> Record {
        Record {
            ports: ports.iter().flat_map(|text| parse(text).unwrap()).collect(),
            exposed: parse_expose(exposed).unwrap(),
        }
    }

    #[test]
    fn a_list_is_the_same_after_it_was_written_and_read() {
        for ports in [
            vec![],
            vec!["80"],
            vec!["8080:80", "8081:81", "8083:83", "8084:80"],
            vec![
                "127.0.0.1:1000-1999:2000-2999/udp",
                "2000:3000/udp",
                "2001:3001",
            ],
            vec!["8000-8010:80", "8000-8010:80", "80", "80"],
            vec!["1-65535:1-65535"],
        ] {
            let record = record(&ports, "1-65535");
            let text = serde_json::to_string(&record).unwrap();
            assert!(text.len() < 600, "{text}");
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }

    #[test]
    fn what_was_written_one_by_one_is_read() {
        let text =
            r#"{"ports":[],"exposed":[{"port":80,"protocol":"tcp"},{"port":81,"protocol":"tcp"}]}"#;
        let read: Record = serde_json::from_str(text).unwrap();
        assert_eq!(read, record(&[], "80-81"));
    }

    #[test]
    fn a_run_beyond_the_last_port_is_refused() {
        let text = r#"{"ports":[],"exposed":[[{"port":65535,"protocol":"tcp"},2]]}"#;
        let error = serde_json::from_str::<Record>(text).unwrap_err();
        assert!(error.to_string().contains("too many ports"), "{error}");
    }
}
