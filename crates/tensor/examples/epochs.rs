fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let data = kernelsmith::data::Mnist::load(dir.as_ref()).unwrap();
    let device = kernelsmith::Device::best().unwrap();
    let t = std::time::Instant::now();
    let mut trainer = kernelsmith::train::mnist::Trainer::new(&data, Default::default(), &device).unwrap();
    println!("recorded {} launches in {:?}", trainer.launches(), t.elapsed());
    for _ in 0..10 {
        println!("{:?}", trainer.epoch().unwrap());
    }
    for r in device.take_reports() {
        println!("{r:?}");
    }
}
