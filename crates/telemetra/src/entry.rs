//! From the command line to an exit code: parse, load settings, start logs, run the command.

use std::{env, ffi::OsString, process::ExitCode};

use clap::{Parser, error::ErrorKind};
use telemetra_connectors::kafka::StartAt;

use crate::{
    cli::{
        CheckPipeline, Cli, Command, GeneratePipeline, OffsetsAction, OffsetsPipeline, QuarantineAction,
        ResetTo, RunPipeline,
    },
    commands::{audit, check, demo, generate, migrate, offsets, quarantine, run, status},
    exit::Exit,
    http, logging, out,
    settings::{Faults, Layers, Purpose, Settings},
    signals,
    terminal::Screen,
};

/// Runs the command that the process was started with. The only reader of arguments and environment.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let environment = env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.into_string().ok()))
    });
    let environment: Vec<(String, Option<String>)> = environment.collect();
    #[cfg(feature = "mutants")]
    let environment = choose_mutant(environment);
    match Cli::try_parse_from(arguments) {
        Ok(cli) => execute(cli, environment).into(),
        Err(error) => refuse(&error, environment),
    }
}

/// Chooses the fault that TELEMETRA_MUTANT names; only builds for testing the tests have this variable.
#[cfg(feature = "mutants")]
fn choose_mutant(mut environment: Vec<(String, Option<String>)>) -> Vec<(String, Option<String>)> {
    environment.retain(|(name, value)| {
        let is_choice = name == "TELEMETRA_MUTANT";
        // A name that is not known stays, and is refused with the other unknown settings.
        !(is_choice && value.as_deref().is_some_and(telemetra_core::mutant::choose))
    });
    environment
}

/// Help, version, or a wrong command line, together with what is wrong in environment and file.
fn refuse(error: &clap::Error, environment: Vec<(String, Option<String>)>) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        out::line(&error.to_string());
        return Exit::Done.into();
    }
    out::note(&error.to_string());
    if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let layers = Layers { environment, ..Layers::default() };
        // Purpose::Demo asks for nothing that the unread flags may hold.
        if let Err(faults) = Settings::load(&layers, Purpose::Demo) {
            out::note(&faults.to_string());
        }
    }
    Exit::Settings.into()
}

fn execute(cli: Cli, environment: Vec<(String, Option<String>)>) -> Exit {
    match settings(&cli, environment) {
        Ok(settings) => dispatch(cli.command, settings).unwrap_or_else(|error| {
            out::note(&format!("error: {error:#}"));
            Exit::Error
        }),
        Err(faults) => {
            out::note(&format!("error: {faults}"));
            Exit::Settings
        }
    }
}

fn settings(cli: &Cli, environment: Vec<(String, Option<String>)>) -> Result<Settings, Faults> {
    let (flags, purpose, ignored): (_, _, &'static [&'static str]) = match &cli.command {
        Command::Demo(args) => (&args.settings.0, Purpose::Demo, demo::OWN_KEYS),
        Command::Run { pipeline: RunPipeline::Chat(args) } => (&args.settings.0, Purpose::Chat, &[]),
        Command::Run { pipeline: RunPipeline::Commerce(args) } => (&args.settings.0, Purpose::Commerce, &[]),
        Command::Check(args) => match &args.pipeline {
            None => (&args.chat.settings.0, Purpose::Chat, &[]),
            Some(CheckPipeline::Chat(args)) => (&args.settings.0, Purpose::Chat, &[]),
            Some(CheckPipeline::Commerce(args)) => (&args.settings.0, Purpose::Commerce, &[]),
        },
        Command::Generate { pipeline: GeneratePipeline::Chat(args) } => {
            (&args.settings.0, Purpose::GenerateChat, &[])
        }
        Command::Generate { pipeline: GeneratePipeline::Commerce(args) } => {
            (&args.settings.0, Purpose::GenerateCommerce, &[])
        }
        Command::Migrate(args) => (&args.settings.0, Purpose::Store, &[]),
        Command::Offsets {
            action:
                OffsetsAction::Show { pipeline, .. }
                | OffsetsAction::Reset { pipeline, .. }
                | OffsetsAction::SkipGap { pipeline, .. },
        } => match pipeline {
            OffsetsPipeline::Chat { settings } => (&settings.0, Purpose::Chat, &[]),
            OffsetsPipeline::Commerce { settings } => (&settings.0, Purpose::Commerce, &[]),
        },
        Command::Quarantine { action: QuarantineAction::List(args) | QuarantineAction::Replay(args) } => {
            (&args.settings.0, Purpose::Store, &[])
        }
        Command::Status(args) | Command::Audit(args) => (&args.settings.0, Purpose::Store, &[]),
    };
    let layers = Layers { flags: flags.clone(), config: cli.config.clone(), environment, ignored };
    Settings::load(&layers, purpose)
}

fn offsets(settings: &Settings, action: OffsetsAction) -> anyhow::Result<Exit> {
    let of = |pipeline| match pipeline {
        OffsetsPipeline::Chat { .. } => run::Pipeline::Chat,
        OffsetsPipeline::Commerce { .. } => run::Pipeline::Commerce,
    };
    match action {
        OffsetsAction::Show { pipeline, json } => offsets::show(settings, of(pipeline), json),
        OffsetsAction::Reset { pipeline, to: ResetTo::Earliest } => {
            offsets::reset(settings, of(pipeline), StartAt::Earliest)
        }
        OffsetsAction::Reset { pipeline, to: ResetTo::Latest } => {
            offsets::reset(settings, of(pipeline), StartAt::Latest)
        }
        OffsetsAction::SkipGap { pipeline, offsets } => offsets::skip_gap(settings, of(pipeline), offsets),
    }
}

fn dispatch(command: Command, settings: Settings) -> anyhow::Result<Exit> {
    let screen = Screen::default();
    logging::start(&settings.log, screen.clone())?;
    match command {
        Command::Demo(args) => demo::demo(settings, &args, &signals::listen()?, &screen),
        Command::Run { pipeline: RunPipeline::Chat(args) } => {
            let options = run::RunOptions {
                pipeline: run::Pipeline::Chat,
                once: args.once,
                drain: args.drain,
                json: args.json,
                accept_changed_meaning: args.accept_changed_meaning,
                ..run::RunOptions::default()
            };
            let listener = settings.http.map(http::bind).transpose()?.map(Into::into);
            run::run(&settings, &options, listener, &signals::listen()?, &screen, || {})
        }
        Command::Run { pipeline: RunPipeline::Commerce(args) } => {
            let options = run::RunOptions {
                pipeline: run::Pipeline::Commerce,
                once: args.once,
                json: args.json,
                ..run::RunOptions::default()
            };
            let listener = settings.http.map(http::bind).transpose()?.map(Into::into);
            run::run(&settings, &options, listener, &signals::listen()?, &screen, || {})
        }
        Command::Generate { pipeline: GeneratePipeline::Chat(args) } => {
            generate::generate(&args, settings.kafka.as_ref(), &signals::listen()?)
        }
        Command::Generate { pipeline: GeneratePipeline::Commerce(args) } => {
            generate::commerce::generate(&args, settings.kafka.as_ref(), &signals::listen()?)
        }
        Command::Check(args) => {
            let (pipeline, sample, json) = match args.pipeline {
                None => (run::Pipeline::Chat, args.chat.sample, args.chat.json),
                Some(CheckPipeline::Chat(args)) => (run::Pipeline::Chat, args.sample, args.json),
                Some(CheckPipeline::Commerce(args)) => (run::Pipeline::Commerce, args.sample, args.json),
            };
            check::check(&settings, pipeline, sample, json)
        }
        Command::Migrate(args) => migrate::migrate(&settings, &args),
        Command::Offsets { action } => offsets(&settings, action),
        Command::Quarantine { action: QuarantineAction::List(args) } => quarantine::list(&settings, &args),
        Command::Quarantine { action: QuarantineAction::Replay(args) } => {
            quarantine::replay(&settings, &args)
        }
        Command::Status(args) => status::status(&settings, args.json),
        Command::Audit(args) => audit::audit(&settings, args.json),
    }
}
