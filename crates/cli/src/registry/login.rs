//! `login` and `logout`.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Read, Write};

pub(crate) const LOGIN: Verb = verb::<Login>(
    &["login"],
    "[OPTIONS] [SERVER]",
    "Authenticate to a registry",
)
.between(0, 1)
.examples(
    "login registry.example.com\necho \"$TOKEN\" | dockless login -u ci --password-stdin ghcr.io",
);

pub(crate) const LOGOUT: Verb = verb::<Logout>(&["logout"], "[SERVER]", "Log out from a registry")
    .between(0, 1)
    .examples("logout ghcr.io");

/// Where one logs in when no server is named.
const DEFAULT_SERVER: &str = "docker.io";

#[derive(Debug, Args)]
struct Login {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    server: Option<String>,
}

impl Run for Login {
    fn run(self, session: &Session) -> Outcome {
        let server = self.server.clone().unwrap_or_else(|| DEFAULT_SERVER.into());
        let options = session.engine()?.registries();
        let says_nothing = self.username.is_none() && self.password.is_none();
        if says_nothing && !self.password_stdin && again(&options, &server)? {
            output::line("Login Succeeded")?;
            return Ok(0);
        }
        let (username, password) = self.credentials()?;
        let kept = image::account::login(&options, &server, &username, &password)
            .map_err(engine::Error::from)?;
        if let Some(path) = kept {
            output::note(format_args!(
                "\nWARNING! Your credentials are stored unencrypted in '{}'.\n",
                path.display()
            ));
        }
        output::line("Login Succeeded")?;
        Ok(0)
    }
}

/// Whether the account that is known already is still good.
fn again(options: &image::RegistryOptions, server: &str) -> Result<bool, Failure> {
    let Some(account) = image::account::known(options, server).map_err(engine::Error::from)? else {
        return Ok(false);
    };
    let who = account
        .username()
        .map(|name| format!(" [Username: {name}]"));
    output::line(format_args!(
        "Authenticating with existing credentials...{}",
        who.unwrap_or_default()
    ))?;
    match account.check() {
        Ok(()) => {
            output::note(format_args!(
                "Hint: for another account: docker logout {server}, then docker login"
            ));
            Ok(true)
        }
        Err(error) if std::io::stdin().is_terminal() => {
            let why = crate::failure::chain(&error);
            output::note(format_args!("Login did not succeed: {why}"));
            Ok(false)
        }
        Err(error) => Err(engine::Error::from(error).into()),
    }
}

impl Login {
    fn credentials(&self) -> Result<(String, String), Failure> {
        if self.password_stdin {
            if self.password.is_some() {
                return Err(Failure::said(
                    "--password and --password-stdin are mutually exclusive",
                ));
            }
            let username = self
                .username
                .clone()
                .ok_or_else(|| Failure::said("Must provide --username with --password-stdin"))?;
            let mut password = String::new();
            std::io::stdin()
                .read_to_string(&mut password)
                .map_err(Failure::system("read the password"))?;
            return Ok((username, password.trim_end_matches(['\n', '\r']).to_owned()));
        }
        if self.password.is_some() {
            output::warn("Using --password via the CLI is insecure. Use --password-stdin.");
        }
        let username = match &self.username {
            Some(username) => username.clone(),
            None => ask("Username: ", Echo::On)?,
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None => ask("Password: ", Echo::Off)?,
        };
        if username.is_empty() || password.is_empty() {
            return Err(Failure::said("username and password must not be empty"));
        }
        Ok((username, password))
    }
}

/// Whether what is typed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

/// Shows nothing of what is typed, until dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn ask(prompt: &str, echo: Echo) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::said("cannot perform an interactive login from a non TTY device")
                .hint("use -u NAME --password-stdin"),
        );
    }
    let mut out = std::io::stdout();
    write!(out, "{prompt}")?;
    out.flush()?;
    let silence = (echo == Echo::Off)
        .then(Silence::begin)
        .transpose()
        .map_err(Failure::system("silence the terminal"))?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(Failure::system("read the answer"))?;
    if silence.is_some() {
        writeln!(out)?;
    }
    Ok(answer.trim_end_matches(['\n', '\r']).to_owned())
}

#[derive(Debug, Args)]
struct Logout {
    server: Option<String>,
}

impl Run for Logout {
    fn run(self, session: &Session) -> Outcome {
        let server = self.server.unwrap_or_else(|| DEFAULT_SERVER.into());
        let options = session.engine()?.registries();
        if image::account::logout(&options, &server).map_err(engine::Error::from)? {
            output::line(format_args!("Removing login credentials for {server}"))?;
        } else {
            output::line(format_args!("Not logged in to {server}"))?;
        }
        Ok(0)
    }
}
