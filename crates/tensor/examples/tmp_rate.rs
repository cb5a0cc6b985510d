use kernelsmith::{
    Device,
    data::Mnist,
    optim::Sgd,
    train::mnist::{Options, Trainer},
};
fn main() {
    let device = Device::open("cpu").unwrap();
    let data = Mnist::load(std::path::Path::new("/work/shared/data/mnist")).unwrap();
    let args: Vec<f64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    for seed in 1..=(args[3] as u64) {
        let o = Options {
            rate: args[0],
            seed,
            optimizer: Sgd { momentum: args[1], weight_decay: args[2] },
            ..Default::default()
        };
        let mut t = Trainer::new(&data, o, &device).unwrap();
        let mut s = String::new();
        for _ in 0..10 {
            let e = t.epoch().unwrap();
            s += &format!("{:.2}/{:.0} ", e.test_accuracy * 100., e.seconds * 1e3);
        }
        println!("{args:?} {seed} launches {} {s}", t.launches());
    }
}
