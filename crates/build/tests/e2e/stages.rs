//! Several stages, targets, triggers, what the image says.

use crate::Test;
use crate::site::Site;

pub(crate) const TESTS: &[Test] = &[
    ("only_needed_stages_are_built", only_needed_stages_are_built),
    (
        "a_failing_stage_ends_the_others",
        a_failing_stage_ends_the_others,
    ),
    (
        "the_image_says_what_was_asked",
        the_image_says_what_was_asked,
    ),
    ("triggers_of_the_base_run", triggers_of_the_base_run),
    ("tags_labels_and_times", tags_labels_and_times),
    ("a_built_image_is_a_base", a_built_image_is_a_base),
    ("dockerfiles_are_found", dockerfiles_are_found),
];

fn only_needed_stages_are_built() {
    let site = Site::new();
    let file = "FROM busybox AS base\nRUN echo base > /base\nFROM base AS broken\nRUN false\nFROM busybox AS b\n\
                RUN echo b > /b\nFROM base\nCOPY --from=b /b /from-b\nCOPY --from=0 /base /again\n";
    let (image, told) = site.build(file);
    assert_eq!(
        image.read("/from-b") + &image.read("/base") + &image.read("/again"),
        "b\nbase\nbase\n"
    );
    assert!(!told.says("broken"), "{:#?}", told.lines());
    let mut options = site.options(file);
    options.target = Some("b".into());
    let (image, _) = site.build_with(options);
    assert!(image.path("/b").is_some() && image.path("/base").is_none());
}

fn a_failing_stage_ends_the_others() {
    let site = Site::new();
    let file = "FROM busybox AS slow\nRUN sleep 1000\nFROM busybox AS bad\nRUN exit 9\nFROM scratch\n\
                COPY --from=slow / /\nCOPY --from=bad / /\n";
    let error = site.failure(site.options(file)).0;
    assert!(error.to_string().ends_with("exit code: 9"), "{error}");
}

fn the_image_says_what_was_asked() {
    let site = Site::new();
    let (image, _) = site.build(
        "FROM busybox\nENV a=1\nEXPOSE 80\nVOLUME /v\nSTOPSIGNAL SIGQUIT\nHEALTHCHECK --interval=5s CMD true\nCMD [\"x\"]\n\
         ENTRYPOINT [\"/e\"]\nSHELL [\"/bin/ash\", \"-c\"]\nONBUILD RUN true\n",
    );
    let config = &image.built.image.config;
    assert!(config.config.env.contains(&"a=1".to_owned()));
    assert_eq!(config.config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(
        config.config.healthcheck.as_ref().unwrap().test,
        ["CMD-SHELL", "true"]
    );
    assert_eq!(config.config.on_build, ["RUN true"]);
    assert_eq!(config.config.cmd.as_deref().unwrap_or_default(), ["x"]);
    let layers = config
        .history
        .iter()
        .filter(|entry| !entry.empty_layer)
        .count();
    assert_eq!(layers, config.rootfs.diff_ids.len());
}

fn triggers_of_the_base_run() {
    let site = Site::new();
    site.write("file", "f");
    let mut options =
        site.options("FROM busybox\nONBUILD COPY file /copied\nONBUILD RUN echo triggered > /t\n");
    options.tags.push("trigger-base".into());
    site.build_with(options);
    let (image, told) = site.build("FROM trigger-base\nRUN cat /t /copied > /both\n");
    assert_eq!(image.read("/both"), "triggered\nf");
    assert!(image.built.image.config.config.on_build.is_empty());
    assert!(
        told.says("ONBUILD RUN echo triggered"),
        "{:#?}",
        told.lines()
    );
}

fn tags_labels_and_times() {
    let site = Site::new();
    let mut options = site.options("FROM busybox\nLABEL a=1\nRUN true\n");
    options.tags = vec!["app".into(), "registry.local:5000/app:2".into()];
    options.labels.insert("b".into(), "2".into());
    options.source_date_epoch = Some(86_400);
    let (image, _) = site.build_with(options);
    let labels = &image.built.image.config.config.labels;
    assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("1", "2"));
    let created = image.built.image.config.created.clone().unwrap();
    assert!(created.starts_with("1970-01-02T00:00:00"), "{created}");
    let store = site.ctx.images().unwrap();
    assert_eq!(store.find("app").unwrap().id, image.built.image.id);
    assert_eq!(
        store.find("registry.local:5000/app:2").unwrap().id,
        image.built.image.id
    );
    let mut options = site.options("FROM busybox\n");
    options.tags.push("Not Valid".into());
    assert!(site.failure(options).0.to_string().contains("Not Valid"));
}

fn a_built_image_is_a_base() {
    let site = Site::new();
    let mut options =
        site.options("FROM scratch\nCOPY --from=busybox / /\nENV from=below\nRUN echo 1 > /1\n");
    options.tags.push("mine:1".into());
    site.build_with(options);
    let (image, _) = site.build("FROM mine:1\nRUN echo $from > /2\n");
    assert_eq!(image.read("/1") + &image.read("/2"), "1\nbelow\n");
}

fn dockerfiles_are_found() {
    let site = Site::new();
    let in_context = || build::Options::new(build::ContextSource::Directory(site.context_dir()));
    let error = site.failure(in_context()).0;
    assert!(
        error.to_string().contains("failed to read dockerfile")
            && error.to_string().contains("Dockerfile"),
        "{error}"
    );
    site.write("Dockerfile", "FROM busybox\nENV d=1\n");
    site.build_with(in_context());
    site.write("sub/Other", "FROM busybox\nCOPY . /c/\n");
    site.write("sub/Other.dockerignore", "sub\n");
    site.write(".dockerignore", "Dockerfile\n");
    let mut options = in_context();
    options.dockerfile = build::DockerfileSource::Path(site.context_dir().join("sub/Other"));
    let (image, _) = site.build_with(options);
    assert!(image.path("/c/Dockerfile").is_some() && image.path("/c/sub").is_none());
    let missing = build::Options::new(build::ContextSource::Directory(site.dir.join("none")));
    assert!(
        site.failure(missing)
            .0
            .to_string()
            .contains("unable to prepare context")
    );
}
