//! Tar archives byte for byte, in whichever dialect a scenario asks for: names of any bytes and lengths, PAX records, GNU's extension
//! headers and sparse files. Nothing is checked. Source: POSIX pax(1); GNU tar manual, "Basic Tar Format".

/// An archive in the making.
#[derive(Debug, Default, Clone)]
pub struct Archive {
    bytes: Vec<u8>,
}

/// One entry: a file that is root's, of mode 0644 and of the year 2023, until something else is said.
#[derive(Debug, Clone)]
pub struct Item {
    name: Vec<u8>,
    link: Vec<u8>,
    kind: u8,
    mode: u32,
    owner: (u32, u32),
    mtime: u64,
    device: (u32, u32),
    data: Vec<u8>,
    /// Bytes of the file where they are not those of the data; with GNU's map of where these go.
    sparse: Option<(u64, Vec<(u64, u64)>)>,
    pax: Vec<(String, Vec<u8>)>,
}

impl Item {
    pub fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            kind,
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            owner: (0, 0),
            mtime: 1_700_000_000,
            device: (0, 0),
            data: Vec::new(),
            sparse: None,
            pax: Vec::new(),
        }
    }

    pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        let mut item = Self::new(b'0', name);
        item.data = data.as_ref().to_vec();
        item
    }

    pub fn directory(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', name)
    }

    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'2', name).mode(0o777).link(target)
    }

    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'1', name).link(target)
    }

    fn link(mut self, target: impl AsRef<[u8]>) -> Self {
        self.link = target.as_ref().to_vec();
        self
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = (uid, gid);
        self
    }

    pub fn mtime(mut self, seconds: u64) -> Self {
        self.mtime = seconds;
        self
    }

    pub fn device(mut self, major: u32, minor: u32) -> Self {
        self.device = (major, minor);
        self
    }

    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// GNU's old form: at most four pieces, which the header holds.
    pub fn sparse(mut self, size: u64, map: &[(u64, u64)]) -> Self {
        self.kind = b'S';
        self.sparse = Some((size, map.to_vec()));
        self
    }
}

impl Archive {
    pub fn with(mut self, item: Item) -> Self {
        self.push(&item);
        self
    }

    pub fn push(&mut self, item: &Item) {
        if !item.pax.is_empty() {
            let records: Vec<u8> = item
                .pax
                .iter()
                .flat_map(|(key, value)| record(key, value))
                .collect();
            self.member(b'x', b"PaxHeaders/entry", &records);
        }
        // What no header holds goes before it, as GNU tar writes it.
        if item.name.len() > 100 {
            self.member(b'L', b"././@LongLink", &[&item.name[..], b"\0"].concat());
        }
        if item.link.len() > 100 {
            self.member(b'K', b"././@LongLink", &[&item.link[..], b"\0"].concat());
        }
        self.write(item);
    }

    /// An extension header.
    pub fn member(&mut self, kind: u8, name: &[u8], data: &[u8]) {
        let mut item = Item::new(kind, name);
        item.data = data.to_vec();
        self.write(&item);
    }

    fn write(&mut self, item: &Item) {
        let mut block = [0u8; 512];
        let mut put = |at: usize, room: usize, bytes: &[u8]| {
            let length = bytes.len().min(room);
            block[at..at + length].copy_from_slice(&bytes[..length]);
        };
        let octal = |value: u64, digits: usize| format!("{value:0digits$o}").into_bytes();
        put(0, 100, &item.name);
        put(100, 7, &octal(item.mode.into(), 7));
        put(108, 8, &number(item.owner.0));
        put(116, 8, &number(item.owner.1));
        put(124, 11, &octal(item.data.len() as u64, 11));
        put(136, 11, &octal(item.mtime, 11));
        put(156, 1, &[item.kind]);
        put(157, 100, &item.link);
        put(257, 8, b"ustar  \0"); // GNU's
        put(329, 7, &octal(item.device.0.into(), 7));
        put(337, 7, &octal(item.device.1.into(), 7));
        if let Some((size, map)) = &item.sparse {
            for (at, (offset, length)) in map.iter().enumerate() {
                put(386 + 24 * at, 11, &octal(*offset, 11));
                put(398 + 24 * at, 11, &octal(*length, 11));
            }
            put(483, 11, &octal(*size, 11));
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&block);
        self.bytes.extend_from_slice(&item.data);
        let whole = self.bytes.len().next_multiple_of(512);
        self.bytes.resize(whole, 0);
    }

    /// The archive with its end.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 1024]].concat()
    }
}

/// An owner: seven octal digits, or GNU's base 256.
fn number(value: u32) -> Vec<u8> {
    match value {
        0..=0o7_777_777 => format!("{value:07o}").into_bytes(),
        _ => [&[0x80, 0, 0, 0][..], &value.to_be_bytes()].concat(),
    }
}

/// `LENGTH KEY=VALUE\n`, the length counting itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = 1 + key.len() + 1 + value.len() + 1;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
