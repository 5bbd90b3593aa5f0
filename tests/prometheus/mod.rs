//! A real Prometheus (Debian's package) over a live Circlet, with the files in conf/: what it scrapes, the alert rules, and
//! every query of the Grafana dashboard.

mod alerts;
mod dashboard;
mod scrape;
mod server;
