//! A private host for one test: its own network namespace and data root, containers that are bare namespaces, and a
//! neighbour on a network outside.
//!
//! `unshare` and `setns` move only the calling thread, so tests run side by side.

use model::network::{EndpointSettings, NetworkSpec};
use model::port::{HostPort, PortBinding, Protocol};
use network::{AttachRequest, Attached, NetworkRecord};
use state::Layout;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::netlink::{Request, RouteSocket, in_netns, own_netns};

/// The address of the host that the neighbour sees, and the neighbour's.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

pub(crate) struct World {
    pub(crate) layout: Layout,
    _dir: tempfile::TempDir,
}

/// A namespace that stands for a container, or for another machine.
pub(crate) struct Space {
    pub(crate) netns: OwnedFd,
}

pub(crate) struct Container {
    pub(crate) space: Space,
    pub(crate) id: String,
    pub(crate) attached: Attached,
}

impl World {
    /// Moves the calling thread to a fresh network namespace.
    pub(crate) fn new() -> Self {
        enter_fresh();
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), dir.path().join("run"));
        layout.prepare().unwrap();
        let socket = RouteSocket::open().unwrap();
        socket.apply(&[Request::Up { index: 1 }]).unwrap();
        Self { layout, _dir: dir }
    }

    /// Connects a neighbour: a machine on a network of the host's, with the host as its gateway.
    pub(crate) fn neighbour(&self) -> Space {
        let space = Space::new();
        let socket = RouteSocket::open().unwrap();
        socket
            .apply(&[Request::CreateBridge {
                name: "lan0",
                mac: [2, 0, 0, 0, 0, 1],
                mtu: None,
            }])
            .unwrap();
        let lan = socket.index_of("lan0").unwrap().unwrap();
        let peer_mac = [2, 0, 0, 0, 0, 2];
        socket
            .apply(&[
                Request::AddAddress {
                    index: lan,
                    address: HOST.into(),
                    prefix: 24,
                },
                Request::CreateVeth {
                    name: "lan1",
                    master: lan,
                    mtu: None,
                    peer: "eth0",
                    peer_mac,
                    netns: space.netns.as_fd(),
                },
            ])
            .unwrap();
        let inside = RouteSocket::open_in(space.netns.as_fd()).unwrap();
        let index = inside.index_of("eth0").unwrap().unwrap();
        inside
            .apply(&[
                Request::Up { index: 1 },
                Request::AddAddress {
                    index,
                    address: NEIGHBOUR.into(),
                    prefix: 24,
                },
                Request::Up { index },
                Request::AddRoute {
                    destination: None,
                    gateway: Some(HOST.into()),
                    index,
                },
            ])
            .unwrap();
        space
    }

    pub(crate) fn network(&self, name: &str, edit: impl FnOnce(&mut NetworkSpec)) -> NetworkRecord {
        let mut spec = NetworkSpec {
            name: name.into(),
            ..NetworkSpec::default()
        };
        edit(&mut spec);
        network::create(&self.layout, &spec).unwrap()
    }

    pub(crate) fn container(&self, name: &str, networks: &[&NetworkRecord]) -> Container {
        self.container_with(name, networks, &[], None).unwrap()
    }

    pub(crate) fn container_with(
        &self,
        name: &str,
        networks: &[&NetworkRecord],
        ports: &[PortBinding],
        share_group: Option<&str>,
    ) -> Result<Container, network::AttachError> {
        self.container_as(name, networks, ports, share_group, |_| {})
    }

    pub(crate) fn container_as(
        &self,
        name: &str,
        networks: &[&NetworkRecord],
        ports: &[PortBinding],
        share_group: Option<&str>,
        edit: impl Fn(&mut EndpointSettings),
    ) -> Result<Container, network::AttachError> {
        let space = Space::new();
        let id = id_of(name);
        let endpoints = networks.iter().map(|network| {
            let mut settings = EndpointSettings {
                network: network.name.clone(),
                ..Default::default()
            };
            edit(&mut settings);
            ((*network).clone(), settings)
        });
        let request = AttachRequest {
            container_id: &id,
            container_name: name,
            endpoints: endpoints.collect(),
            ports,
            share_group,
            ..AttachRequest::default()
        };
        let attached = network::attach(&self.layout, space.netns.as_fd(), &request)?;
        Ok(Container {
            space,
            id,
            attached,
        })
    }

    /// One whose request is `edit`ed before it is made.
    pub(crate) fn container_asking<'a>(
        &self,
        name: &'a str,
        networks: &[&NetworkRecord],
        edit: impl FnOnce(&mut AttachRequest<'a>),
    ) -> Result<Container, network::AttachError> {
        let space = Space::new();
        let id = id_of(name);
        let endpoints = networks.iter().map(|network| {
            let settings = EndpointSettings {
                network: network.name.clone(),
                ..Default::default()
            };
            ((*network).clone(), settings)
        });
        let mut request = AttachRequest {
            container_name: name,
            endpoints: endpoints.collect(),
            ..AttachRequest::default()
        };
        edit(&mut request);
        let request = AttachRequest {
            container_id: &id,
            ..request
        };
        let attached = network::attach(&self.layout, space.netns.as_fd(), &request)?;
        Ok(Container {
            space,
            id,
            attached,
        })
    }

    pub(crate) fn detach(&self, container: Container) {
        network::detach(&self.layout, &container.attached).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = network::tear_down(&self.layout);
    }
}

/// An id that a test can tell from its name.
pub(crate) fn id_of(name: &str) -> String {
    let digits: String = name.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{digits:0<64}")[..64].to_owned()
}

fn enter_fresh() {
    sys::namespace::unshare(sys::namespace::flags::NEWNET).expect("these tests run as root");
}

impl Space {
    pub(crate) fn new() -> Self {
        let home = own_netns().unwrap();
        let netns = in_netns(home.as_fd(), || {
            enter_fresh();
            own_netns().unwrap()
        });
        Self {
            netns: netns.unwrap(),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// Runs in this namespace.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        in_netns(self.fd(), work).unwrap()
    }

    /// Answers every TCP connection to `port` with `text` and the client's address, as long as the test runs.
    pub(crate) fn serve(&self, address: &str, text: &'static str) {
        let listener = self.run(|| TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, from)) = listener.accept() {
                let _ = stream.write_all(format!("{text} {}", from.ip()).as_bytes());
            }
        });
    }

    pub(crate) fn serve_udp(&self, address: &str, text: &'static str) {
        let socket = self.run(|| UdpSocket::bind(address).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{text} {}", from.ip()).as_bytes(), from);
            }
        });
    }

    /// What a server at `to` says; `None` when it cannot be reached.
    pub(crate) fn ask(&self, to: impl ToString) -> Option<String> {
        let to: SocketAddr = to.to_string().parse().unwrap();
        self.run(|| ask(to))
    }

    pub(crate) fn ask_udp(&self, to: impl ToString) -> Option<String> {
        let to: SocketAddr = to.to_string().parse().unwrap();
        self.run(|| {
            let any: &str = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            let mut buffer = [0; 64];
            for _ in 0..4 {
                if socket.send_to(b"?", to).is_ok()
                    && let Ok((length, _)) = socket.recv_from(&mut buffer)
                {
                    return Some(String::from_utf8_lossy(&buffer[..length]).into_owned());
                }
            }
            None
        })
    }
}

/// Asks from where the calling thread is.
pub(crate) fn ask(to: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(1500)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

impl Container {
    pub(crate) fn ip(&self) -> IpAddr {
        self.attached.endpoints[0].ipv4.unwrap().address
    }
}

pub(crate) fn tcp(host: u16, container: u16) -> PortBinding {
    PortBinding {
        host_ip: None,
        host_port: HostPort::Exact(host),
        container_port: container,
        protocol: Protocol::Tcp,
    }
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
