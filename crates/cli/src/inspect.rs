//! `inspect` of any object, and `--format` over its JSON.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::{Program, Session};
use crate::verb::{Run, Verb, verb};
use api::wire;
use clap::Args;
use engine::Context;
use serde::Serialize;
use serde_json::Value;
use template::Template;

pub(crate) const VERBS: &[Verb] = &[
    verb::<Inspect>(
        &["inspect"],
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Return low-level information on containers, images, volumes and networks",
    )
    .at_least(1)
    .examples("inspect -f '{{.State.Status}}' web\ninspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web\ninspect --type volume data"),
    verb::<InspectContainer>(
        &["container inspect"],
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Display detailed information on one or more containers",
    )
    .at_least(1),
    verb::<InspectImage>(
        &["image inspect"],
        "[OPTIONS] IMAGE [IMAGE...]",
        "Display detailed information on one or more images",
    )
    .at_least(1)
    .examples("image inspect redis:7\nimage inspect -f '{{.Os}}/{{.Architecture}}' redis:7\nimage inspect -f '{{index .RepoDigests 0}}' redis:7"),
    verb::<InspectVolume>(
        &["volume inspect"],
        "[OPTIONS] VOLUME [VOLUME...]",
        "Display detailed information on one or more volumes",
    )
    .at_least(1),
    verb::<InspectNetwork>(
        &["network inspect"],
        "[OPTIONS] NETWORK [NETWORK...]",
        "Display detailed information on one or more networks",
    )
    .at_least(1),
];

#[derive(Debug, Args)]
struct InspectFlags {
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    #[arg(required = true)]
    names: Vec<String>,
}

/// The kinds of objects, in the order in which a bare name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

#[derive(Debug, Args)]
struct Inspect {
    #[command(flatten)]
    flags: InspectFlags,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "string")]
    kind: Option<String>,
}

impl Run for Inspect {
    fn run(self, session: &Session) -> Outcome {
        let kinds = match self.kind.as_deref() {
            None | Some("") => vec![Kind::Container, Kind::Image, Kind::Network, Kind::Volume],
            Some("container") => vec![Kind::Container],
            Some("image") => vec![Kind::Image],
            Some("network") => vec![Kind::Network],
            Some("volume") => vec![Kind::Volume],
            Some(other) => {
                return Err(
                    Failure::said(format!("{other:?} is not a valid value for --type"))
                        .hint("use container, image, network or volume")
                        .code(1),
                );
            }
        };
        inspect(session, &self.flags, &kinds, self.size)
    }
}

#[derive(Debug, Args)]
struct InspectContainer {
    #[command(flatten)]
    flags: InspectFlags,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

impl Run for InspectContainer {
    fn run(self, session: &Session) -> Outcome {
        inspect(session, &self.flags, &[Kind::Container], self.size)
    }
}

#[derive(Debug, Args)]
struct InspectImage {
    #[command(flatten)]
    flags: InspectFlags,
    /// Inspect a specific platform of an image that has several here
    #[arg(long, value_name = "string")]
    platform: Option<String>,
}

impl Run for InspectImage {
    fn run(self, session: &Session) -> Outcome {
        let Some(platform) = crate::registry::platform(self.platform.as_deref())? else {
            return inspect(session, &self.flags, &[Kind::Image], false);
        };
        let template = template(self.flags.format.as_deref())?;
        let store = session.engine()?.images()?;
        let mut found = Vec::new();
        let code = session.each(&self.flags.names, |name| {
            let image = store
                .find_on(name, &platform)
                .map_err(engine::Error::from)?;
            found.push(value(wire::image::Image::new(&image, store.size(&image))));
            Ok(())
        });
        show(found, template.as_ref())?;
        code
    }
}

#[derive(Debug, Args)]
struct InspectVolume {
    #[command(flatten)]
    flags: InspectFlags,
}

impl Run for InspectVolume {
    fn run(self, session: &Session) -> Outcome {
        inspect(session, &self.flags, &[Kind::Volume], false)
    }
}

#[derive(Debug, Args)]
struct InspectNetwork {
    #[command(flatten)]
    flags: InspectFlags,
    /// Verbose output for diagnostics
    #[arg(short, long)]
    verbose: bool,
}

impl Run for InspectNetwork {
    fn run(self, session: &Session) -> Outcome {
        inspect(session, &self.flags, &[Kind::Network], false)
    }
}

/// Prints every object that is found, tells every one that is not.
fn inspect(session: &Session, flags: &InspectFlags, kinds: &[Kind], size: bool) -> Outcome {
    // Before anything is looked up: a template that makes no sense is a mistake of its own.
    let template = template(flags.format.as_deref())?;
    let mut found = Vec::new();
    let code = session.each(&flags.names, |name| {
        found.push(look_up(session, name, kinds, size)?);
        Ok(())
    });
    show(found, template.as_ref())?;
    code
}

/// What `--format` says, parsed.
pub(crate) fn template(format: Option<&str>) -> Result<Option<Template>, Failure> {
    Ok(match format {
        None | Some("") => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    })
}

/// Objects that were found, as `--format` wants them.
pub(crate) fn print(found: Vec<Value>, format: Option<&str>) -> Result<(), Failure> {
    show(found, template(format)?.as_ref())
}

/// All objects as one list, or each through the template.
pub(crate) fn show(found: Vec<Value>, template: Option<&Template>) -> Result<(), Failure> {
    let Some(template) = template else {
        return output::text(&pretty(&Value::Array(found)));
    };
    for object in &found {
        let shown = template
            .execute(&with_absent(object.clone()))
            .map_err(|e| Failure::said(format!("template parsing error: {e}")))?;
        output::line(shown)?;
    }
    Ok(())
}

/// What Docker leaves out of an image when it is empty, and templates may ask for nevertheless.
fn with_absent(mut object: Value) -> Value {
    let is_image = object.get("RepoTags").is_some();
    if let (true, Some(Value::Object(config))) = (is_image, object.get_mut("Config")) {
        for (key, empty) in [
            ("ArgsEscaped", Value::from(false)),
            ("AttachStderr", Value::from(false)),
            ("AttachStdin", Value::from(false)),
            ("AttachStdout", Value::from(false)),
            ("Domainname", Value::from("")),
            ("ExposedPorts", Value::Object(Default::default())),
            ("Healthcheck", Value::Null),
            ("Hostname", Value::from("")),
            ("Image", Value::from("")),
            ("OpenStdin", Value::from(false)),
            ("Shell", Value::Array(Vec::new())),
            ("StdinOnce", Value::from(false)),
            ("StopSignal", Value::from("")),
            ("Tty", Value::from(false)),
        ] {
            config.entry(key).or_insert(empty);
        }
    }
    object
}

/// Indented by four blanks, as Docker prints it.
fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(
        &mut out,
        serde_json::ser::PrettyFormatter::with_indent(b"    "),
    );
    // Writing into memory cannot fail.
    let _ = value.serialize(&mut writer);
    String::from_utf8_lossy(&out).into_owned() + "\n"
}

fn look_up(session: &Session, name: &str, kinds: &[Kind], size: bool) -> Result<Value, Failure> {
    let ctx = session.engine()?;
    for kind in kinds {
        let found = match kind {
            Kind::Container => container_value(ctx, name, size),
            Kind::Image => image_value(ctx, name),
            Kind::Network => network_value(ctx, name),
            Kind::Volume => volume_value(ctx, name),
        };
        match found {
            Ok(value) => return Ok(value),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let what = match kinds {
        [one] => one.word(),
        _ => "object",
    };
    // Called as docker we print no `Error:` of our own.
    let opening = if session.program == Program::Docker {
        "Error: "
    } else {
        ""
    };
    Err(Failure::said(format!("{opening}No such {what}: {name}")))
}

fn is_missing(error: &engine::Error) -> bool {
    matches!(
        error,
        engine::Error::NoSuchContainer(_)
            | engine::Error::NoSuchVolume(_)
            | engine::Error::Network(network::Error::NotFound { .. })
            | engine::Error::Image(image::Error::NoSuchImage(_) | image::Error::Reference(_))
    )
}

fn value(shape: impl Serialize) -> Value {
    serde_json::to_value(shape).unwrap_or_default()
}

pub(crate) use wire::container::sizes;

pub(crate) fn container_value(
    ctx: &Context,
    name: &str,
    size: bool,
) -> Result<Value, engine::Error> {
    let record = engine::container::names::resolve(ctx, name)?;
    let sizes = size.then(|| sizes(ctx, &record));
    Ok(value(wire::container::Container::load(
        ctx, &record, sizes,
    )?))
}

fn image_value(ctx: &Context, name: &str) -> Result<Value, engine::Error> {
    let store = ctx.images()?;
    let image = store.find(name)?;
    let size = store.size(&image);
    Ok(value(wire::image::Image::new(&image, size)))
}

fn volume_value(ctx: &Context, name: &str) -> Result<Value, engine::Error> {
    Ok(value(wire::volume::Volume::new(
        ctx,
        &engine::volume::find(ctx, name)?,
    )))
}

fn network_value(ctx: &Context, name: &str) -> Result<Value, engine::Error> {
    let record = network::find(&ctx.layout, name)?;
    Ok(value(wire::network::Network::load(ctx, &record)?))
}
