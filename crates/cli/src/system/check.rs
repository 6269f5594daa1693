//! `system check`: whether everything in the data root is as it was written, and mending what is not.

use crate::failure::{Failure, Outcome};
use crate::output::{self, progress::PullProgress, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::check::{RecordFault, Way};
use engine::container::record::ContainerRecord;
use image::{Checked, Depth, Fault, How, Mended, Names, Remembered};

pub(crate) const VERB: Verb = verb::<Check>(
    &["system check"],
    "[OPTIONS]",
    "Verify every digest and record of the data root; exit code 1 when something is wrong",
)
.examples("system check\nsystem check --quick\nsystem check --repair       # fetch again, or drop what is bad");

#[derive(Debug, Args)]
struct Check {
    /// Look only whether all is there, without reading contents
    #[arg(short, long)]
    quick: bool,
    /// Bring back what can be had again, drop what is bad, sweep what killed commands left
    #[arg(short, long)]
    repair: bool,
    /// With --repair: also drop containers, secrets and configs whose records are damaged, with their files
    #[arg(short, long)]
    force: bool,
}

impl Run for Check {
    fn run(self, session: &Session) -> Outcome {
        if self.force && !self.repair {
            return Err(Failure::usage("--force is of use with --repair only"));
        }
        let ctx = session.engine()?;
        let records = engine::check::records(ctx)?;
        for fault in &records {
            output::line(record_text(fault))?;
        }
        let depth = match self.quick {
            true => Depth::Records,
            false => Depth::Contents,
        };
        let progress = PullProgress::on_stderr(false);
        let checked = ctx.images()?.check(depth, &progress);
        progress.finish();
        let checked = checked.map_err(engine::Error::from)?;
        for fault in &checked.faults {
            output::line(with_dependents(&text(fault), &checked.dependents(fault)))?;
        }
        let count = records.len() + checked.faults.len();
        output::line(format_args!(
            "{} images, {} layers, {} blobs: {}",
            checked.images,
            checked.layers,
            checked.blobs,
            match count {
                0 => "everything is whole".to_owned(),
                1 => "1 fault".to_owned(),
                count => format!("{count} faults"),
            }
        ))?;
        match self.repair {
            true => self.mend(session, &records, &checked),
            false if count == 0 => Ok(0),
            false => {
                output::note(
                    "Mend with --repair: what can be had again comes back, only what is bad goes",
                );
                Ok(1)
            }
        }
    }
}

impl Check {
    fn mend(&self, session: &Session, records: &[RecordFault], checked: &Checked) -> Outcome {
        let ctx = session.engine()?;
        let mut left = 0;
        for fault in records {
            let done = engine::check::mend(ctx, fault, self.force)?;
            left += usize::from(!done);
            output::line(record_outcome(fault, done))?;
        }
        // Who uses what is in records that can be read by now.
        let users = match crate::image::in_use(session) {
            Ok(users) => users,
            Err(failure) => {
                session.report(&failure);
                return Err(
                    Failure::said("images are not mended while a record cannot be read")
                        .hint("drop it with --repair --force"),
                );
            }
        };
        let progress = PullProgress::on_stderr(false);
        let remembered = remembered(ctx)?;
        let mended = ctx
            .images()?
            .repair(checked, &users, &remembered, &progress);
        progress.finish();
        for one in &mended.map_err(engine::Error::from)? {
            left += usize::from(matches!(one.how, How::Held { .. }));
            let dependents = checked.dependents(&one.fault);
            output::line(with_dependents(&outcome(one), &dependents))?;
        }
        crate::system::prune::unreferenced(session)?;
        let swept = engine::sweep::sweep(ctx)?;
        let bytes = build::sweep(&ctx.layout).map_err(|cause| Failure::of(&cause))?;
        output::line(format_args!(
            "Swept {} dead runs and {} names, freed {}",
            swept.runs,
            swept.names,
            units::size_long(swept.bytes + bytes)
        ))?;
        if left > 0 {
            output::note(format_args!("{left} faults are left"));
        }
        Ok(u8::from(left > 0))
    }
}

/// What containers were made from, by name.
fn remembered(ctx: &engine::Context) -> Result<Vec<Remembered>, Failure> {
    let records = ContainerRecord::list(ctx)?;
    let names = records.iter().filter_map(|record| {
        let name: oci::Reference = record.spec.image.parse().ok()?;
        // Made by the image's id.
        let hex = record.image.id.trim_start_matches("sha256:");
        let by_id = hex.starts_with(record.spec.image.trim_start_matches("sha256:"));
        (!by_id).then_some((record.image.id.parse().ok()?, name.or_latest()))
    });
    Ok(names.collect())
}

fn text(fault: &Fault) -> String {
    match fault {
        Fault::Names { cause } => format!("the table of images: {cause}"),
        Fault::Image { name, cause, .. } => format!("image {name}: {cause}"),
        Fault::MissingBlob { digest } => format!("blob {digest} is missing"),
        Fault::DamagedBlob { digest } => format!("blob {digest} is damaged"),
        Fault::MissingLayer { chain_id } => format!("layer {chain_id} is not unpacked"),
        Fault::DamagedLayer { chain_id, what } => format!("layer {chain_id} is damaged: {what}"),
        Fault::LayerRecord { chain_id, what } => {
            format!("the record of layer {chain_id} cannot be used: {what}")
        }
    }
}

fn with_dependents(text: &str, dependents: &[String]) -> String {
    match dependents {
        [] => text.to_owned(),
        names => format!("{text} (needed by {})", names.join(", ")),
    }
}

fn record_text(fault: &RecordFault) -> String {
    let text = format!("{} {}: {}", fault.kind, fault.name, fault.cause);
    let dependents: Vec<String> = fault
        .dependents
        .iter()
        .map(|name| format!("container {name}"))
        .collect();
    with_dependents(&text, &dependents)
}

fn record_outcome(fault: &RecordFault, done: bool) -> String {
    let (kind, name) = (fault.kind, &fault.name);
    let what = match (fault.way, done) {
        (Way::Remake, true) => "made anew; its labels and options are lost, its files are not",
        (_, true) => "dropped",
        (Way::DropForced, false) => "left: its files would go with it; --force drops it",
        (Way::Newer, false) => "left: a newer dockless reads it",
        (_, false) => "left: pull its image again, or remove it",
    };
    let text = format!("{kind} {name}: {what}");
    with_dependents(&text, &fault.dependents)
}

fn outcome(one: &Mended) -> String {
    let what = match &one.fault {
        Fault::Names { .. } => "the table of images".to_owned(),
        Fault::Image { name, .. } => format!("image {name}"),
        Fault::MissingBlob { digest } | Fault::DamagedBlob { digest } => format!("blob {digest}"),
        Fault::MissingLayer { chain_id } | Fault::DamagedLayer { chain_id, .. } => {
            format!("layer {chain_id}")
        }
        Fault::LayerRecord { chain_id, .. } => format!("the record of layer {chain_id}"),
    };
    let how = match (&one.how, &one.fault) {
        (How::Renamed(names), _) => return format!("{what}: {}", renamed(names)),
        (How::Held { container }, Fault::LayerRecord { .. }) => {
            return format!("{what}: left, container {container} stands on its files");
        }
        (How::Restored, Fault::LayerRecord { .. }) => "made anew, its files are as they were",
        (How::Restored, _) => "restored",
        (How::Dropped, Fault::Image { .. }) => "cannot be had again",
        (How::Dropped, Fault::MissingBlob { .. } | Fault::DamagedBlob { .. }) => {
            "dropped: it cannot be had again; an image whose layers are whole runs without it, but cannot be pushed or saved"
        }
        (How::Dropped, _) => "dropped: it cannot be had again",
        (How::Held { container }, _) => {
            return format!("{what}: left, container {container} runs on it: stop it first");
        }
        (How::Removed, Fault::Image { cause, .. }) => {
            return format!("{what}: removed, nothing can be made of it any more ({cause})");
        }
        (How::Removed, _) => "removed",
    };
    format!("{what}: {how}")
}

fn renamed(names: &Names) -> String {
    let mut text = format!("made anew; {} names are in its copy", names.copied);
    if names.remembered > 0 {
        text.push_str(&format!(", {} are known by containers", names.remembered));
    }
    match names.nameless {
        0 => text,
        count => format!(
            "{text}; images without a name: {count} (`images -a` shows their ids, `tag` names them)"
        ),
    }
}
