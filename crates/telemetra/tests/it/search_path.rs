//! Another search_path must not lead a job to other tables of the same names.

use telemetra_services::postgres::Postgres;

use crate::{golden::run_into, support::Telemetra};

#[test]
fn a_job_that_finds_its_tables_in_another_schema_halts_and_names_both() {
    let database = Postgres::shared().create_database();
    let telemetra = Telemetra::new();
    run_into(&telemetra, Some(database.address()), "chat_small", None, &[]);
    let mut client = database.client();
    let first =
        "SELECT first_window = (SELECT min(window_start) FROM chat_summary_minute) FROM telemetra.job";
    assert!(client.query_one(first, &[]).expect("a job").get::<_, bool>(0), "the first window is noted");
    let name: String = client.query_one("SELECT current_database()::text", &[]).expect("a name").get(0);
    client
        .batch_execute(&format!(
            "CREATE SCHEMA other; CREATE TABLE other.chat_summary_minute (LIKE public.chat_summary_minute INCLUDING ALL);
             ALTER DATABASE {name} SET search_path = other, public"
        ))
        .expect("a superuser may");
    for folder in ["chat", "viewer"] {
        std::fs::create_dir(telemetra.path().join(folder)).expect("a folder");
    }
    let run = ["run", "chat", "--once", "--chat-dir", "chat", "--viewer-dir", "viewer", "--store"]
        .map(str::to_owned);
    let run = |address: String| telemetra.run(&[&run[..], &[address]].concat());
    let said = run(database.address()).expect_code(4);
    assert!(said.contains("chat_summary_minute of schema public"), "{said}");
    assert!(said.contains("finds that of schema other") && said.contains("currentSchema=public"), "{said}");
    let rows = "SELECT count(*) FROM other.chat_summary_minute";
    assert_eq!(client.query_one(rows, &[]).expect("a count").get::<_, i64>(0), 0);
    run(format!("{}?currentSchema=public", database.address())).expect_code(0);
}
