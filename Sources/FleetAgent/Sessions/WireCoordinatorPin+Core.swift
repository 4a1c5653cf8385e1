internal import FleetCore
internal import FleetWire

extension WireCoordinatorPin {
    init(_ pin: CoordinatorBook.Pin) {
        self.init()
        coordinator = pin.coordinator.raw
        storeID = pin.store
        storeKey = pin.key
        epoch = pin.epoch
        how = pin.how.rawValue
        by = pin.by
    }
}
