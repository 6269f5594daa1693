//! The ways to a repository: a request for every command (HTTP), or one connection (`git://`, ssh).
//! Source: `gitprotocol-http`, `gitprotocol-pack` ("Git Transport").

use crate::error::Error;
use crate::location::{Location, Scheme};
use crate::{Access, packet, ssh};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::web::{self, Ask};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use sys::helper::Spoken;

const PORT: u16 = 9418;
const TIMEOUT: Duration = Duration::from_secs(30);

/// How commands reach the repository.
pub(crate) enum Transport<'a> {
    Http {
        access: &'a Access,
        /// After redirects, without `/info/refs`.
        base: String,
        authorization: Option<String>,
    },
    Tcp(TcpStream),
    Ssh(Spoken),
}

impl<'a> Transport<'a> {
    /// Connects; what the repository says about itself is read from the stream.
    pub(crate) fn open(
        location: &Location,
        access: &'a Access,
    ) -> Result<(Self, Box<dyn Read>), Error> {
        if access.network.offline {
            return Err(Error::Offline(location.url()));
        }
        match location.scheme {
            Scheme::Http | Scheme::Https => http(location, access),
            Scheme::Git => tcp(location, access),
            Scheme::Ssh => {
                let (spoken, start) = ssh::connect(location, access.ssh)?;
                Ok((Self::Ssh(spoken), start))
            }
        }
    }

    /// Sends a command, and gives its answer.
    pub(crate) fn command(&mut self, url: &str, body: &[u8]) -> Result<Box<dyn Read>, Error> {
        match self {
            Self::Http {
                access,
                base,
                authorization,
            } => {
                let headers = [
                    ("git-protocol", "version=2"),
                    ("content-type", "application/x-git-upload-pack-request"),
                    ("accept", "application/x-git-upload-pack-result"),
                ];
                let target = format!("{base}/git-upload-pack");
                let answer = web::ask(
                    &access.network,
                    Ask {
                        url: &target,
                        body: Some(body),
                        headers: &headers,
                        authorization: authorization.as_deref(),
                    },
                );
                let answer = answer.map_err(reach(url))?;
                match answer.status {
                    200 => Ok(answer.body),
                    status => Err(Error::Status {
                        url: url.to_owned(),
                        status,
                    }),
                }
            }
            Self::Tcp(stream) => {
                let broken = |source| Error::Broken {
                    url: url.to_owned(),
                    source,
                };
                stream.write_all(body).map_err(broken)?;
                Ok(Box::new(stream.try_clone().map_err(broken)?))
            }
            Self::Ssh(spoken) => {
                let broken = |source| Error::Broken {
                    url: url.to_owned(),
                    source,
                };
                spoken.say(body).map_err(broken)?;
                Ok(Box::new(spoken.answers().map_err(broken)?))
            }
        }
    }
}

fn reach(url: &str) -> impl FnOnce(web::Error) -> Error {
    let url = url.to_owned();
    move |source| Error::Reach {
        url,
        source: Box::new(source),
    }
}

fn http<'a>(
    location: &Location,
    access: &'a Access,
) -> Result<(Transport<'a>, Box<dyn Read>), Error> {
    const SERVICE: &str = "/info/refs?service=git-upload-pack";
    let url = location.url();
    let authorization = authorization(location, access);
    let answer = web::ask(
        &access.network,
        Ask {
            url: &format!("{url}{SERVICE}"),
            body: None,
            headers: &[("git-protocol", "version=2")],
            authorization: authorization.as_deref(),
        },
    );
    let mut answer = answer.map_err(reach(&url))?;
    if answer.status != 200 {
        return Err(Error::Status {
            url,
            status: answer.status,
        });
    }
    let kind = answer.content_type.unwrap_or_default();
    if kind != "application/x-git-upload-pack-advertisement" {
        let what = match kind.as_str() {
            "" => "something without a type".to_owned(),
            kind => kind.to_owned(),
        };
        return Err(Error::NoRepository { url, what });
    }
    // As git does: where the repository has moved to, the commands are sent too.
    let moved = answer.url.strip_suffix(SERVICE).ok_or_else(|| {
        let what = format!("from {}", web::shown(&answer.url));
        Error::NoRepository {
            url: url.clone(),
            what,
        }
    })?;
    let same = answer.url == format!("{url}{SERVICE}");
    let mut start = answer.body;
    let service = skip_service(&mut *start).map_err(|source| Error::Broken {
        url: url.clone(),
        source,
    })?;
    answer.body = Box::new(io::empty());
    let transport = Transport::Http {
        access,
        base: moved.to_owned(),
        authorization: authorization.filter(|_| same || same_host(moved, &url)),
    };
    Ok((transport, Box::new(io::Cursor::new(service).chain(start))))
}

fn same_host(one: &str, other: &str) -> bool {
    let origin = |url: &str| url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    origin(one) == origin(other)
}

/// Over HTTP a line with the service's name may come first. What was read and is not that is given back.
fn skip_service(stream: &mut dyn Read) -> io::Result<Vec<u8>> {
    match packet::read(stream)? {
        packet::Packet::Line(line) if line.starts_with(b"# service=") => {
            packet::read(stream)?;
            Ok(Vec::new())
        }
        packet::Packet::Line(line) => {
            let mut again = format!("{:04x}", line.len() + 4).into_bytes();
            again.extend(line);
            Ok(again)
        }
        _ => Ok(packet::FLUSH.to_vec()),
    }
}

/// The address's own user, else the secrets.
fn authorization(location: &Location, access: &Access) -> Option<String> {
    let basic = |name: &str, password: &str| {
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    };
    if let Some(user) = &location.user {
        return Some(basic(
            &user.name,
            user.password.as_deref().unwrap_or_default(),
        ));
    }
    let token = access.token.as_deref().map(str::trim);
    access
        .header
        .as_deref()
        .map(|header| header.trim().to_owned())
        .or_else(|| token.map(|token| basic("x-access-token", token)))
}

fn tcp<'a>(
    location: &Location,
    access: &'a Access,
) -> Result<(Transport<'a>, Box<dyn Read>), Error> {
    let url = location.url();
    let broken = |source| Error::Broken {
        url: url.clone(),
        source,
    };
    let (host, port) = match location.host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let bad = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{port} is no port"));
            (host, port.parse().map_err(bad).map_err(broken)?)
        }
        _ => (location.host.as_str(), PORT),
    };
    let mut stream = web::connect(&access.network, host, port).map_err(broken)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(broken)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(broken)?;
    let request = format!(
        "git-upload-pack {}\0host={}\0\0version=2\0",
        location.path, location.host
    );
    let line = format!("{:04x}{request}", request.len() + 4);
    stream.write_all(line.as_bytes()).map_err(broken)?;
    let answers = stream.try_clone().map_err(broken)?;
    Ok((Transport::Tcp(stream), Box::new(answers)))
}
