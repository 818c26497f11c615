//! The gateway alone, without the rest of the program: `cargo run -p gatehouse-gateway --example gateway -- --policy policy.toml`.
//! For trying and measuring; what is installed is `gatehouse gateway`.

use std::{env, net::SocketAddr, path::Path, process::ExitCode};

use gatehouse_gateway::{Gateway, policy::Policy};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let after = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
    let Some(path) = after("--policy") else {
        eprintln!("gateway --policy FILE [--listen ADDRESS:PORT]");
        return ExitCode::FAILURE;
    };
    let policy = match Policy::load(Path::new(path)) {
        Ok(policy) => policy,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return ExitCode::FAILURE;
        }
    };
    let listen = after("--listen").map(|text| text.parse::<SocketAddr>());
    let listen = match listen.transpose() {
        Ok(listen) => listen.map(|one| vec![one]),
        Err(error) => {
            eprintln!("--listen: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else { return ExitCode::FAILURE };
    runtime.block_on(async {
        match Gateway::start(policy, listen).await {
            Ok(gateway) => {
                eprintln!("The gateway listens on {:?}.", gateway.addresses());
                let _ = tokio::signal::ctrl_c().await;
                eprintln!("{} connections were cut.", gateway.stop().await);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    })
}
