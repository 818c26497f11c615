//! The program `gatehouse`: configuration, command line, HTTP. Everything it does is in `gatehouse_platform`.

mod admin;
mod api;
mod backup;
mod config;
mod doctor;
mod ending;
mod export;
mod form_posts;
mod gateway;
mod http_errors;
mod kept_pages;
mod lambda;
mod metrics;
mod pac;
mod pages;
mod router;
mod security;
mod serve;
mod site;
mod startup;
mod state;
mod systemd;
mod tend;
mod tls;

use std::process::ExitCode;

use clap::Parser as _;

use crate::config::{Cli, Command, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    // Lambda starts a program of this name, without saying what it is to do.
    if arguments.len() == 1 && std::path::Path::new(&arguments[0]).file_name().is_some_and(|name| name == "bootstrap") {
        arguments.push("serve".into());
    }
    let cli = Cli::parse_from(arguments);
    if let Command::Openapi = cli.command {
        println!("{}", api::openapi_json());
        return ExitCode::SUCCESS;
    }
    if let Command::Gateway { command: Some(command), .. } = &cli.command {
        return gateway::offline(command);
    }
    let settings = Settings::load(&cli.settings, &cli.command);
    if let Ok(settings) = &settings {
        startup::log_to_stderr(settings);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 * 1024 * 1024).build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the program can't start its threads: {error}")),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(why) => {
            if let (Command::Serve(_), Some(address)) = (&cli.command, lambda::runtime_api()) {
                // Whether Lambda hears it or not, it is printed.
                let _ = runtime.block_on(lambda::refuse(&address, &why));
            }
            return fail(&why);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(_) => serve::serve(settings).await,
            Command::Doctor { quick, json, .. } => doctor::run(settings, quick, json).await,
            Command::Gateway { .. } => gateway::run(settings).await,
            Command::Tend => tend::run(settings).await,
            Command::Admin { command } => admin::run(settings, command).await,
            Command::Company { command } => admin::company(settings, command).await,
            Command::Audit { command } => admin::audit(settings, command).await,
            Command::Backup { file, force } => backup::backup(settings, &file, force).await,
            Command::Restore { file, replace } => backup::restore(settings, &file, replace).await,
            Command::Openapi => Ok(()),
        }
    });
    // Whatever still runs has had its time.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("gatehouse: {why}");
    ExitCode::FAILURE
}
