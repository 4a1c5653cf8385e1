/// Locks and notes: what people put on a worker. They take no slot.
extension WorkerMachine {
    var lockedRefusal: Answer? {
        guard let lock else { return nil }
        return .refused(
            slug: "locked", text: "\(worker) is locked by \(lock.by): \"\(lock.text)\". Nothing was done. trading unlock \(worker) --reason \"…\"")
    }

    mutating func lock(_ order: Order, _ mark: Mark, _ now: BootTime) -> [Effect] {
        if let lock, lock.by != mark.by {
            return [
                .answer(
                    order,
                    .refused(slug: "locked", text: "\(worker) is locked already by \(lock.by): \"\(lock.text)\". trading unlock \(worker) --reason \"…\" first")
                )
            ]
        }
        if let lock, lock.text == mark.text, !marksOwed { return [.answer(order, .done(killed: false, held: false))] }
        generation += 1
        lock = mark
        marksOwed = false
        var effects: [Effect] = [.record(.workerLocked, order: order, fields: fields(of: mark)), .answer(order, .done(killed: false, held: false))]
        if case .backoff = phase {
            enter(.failed(lockedNotRestarted), now)
            effects.append(.record(.workerFailed, order: nil, fields: [Field("why", lockedNotRestarted), Field("slug", "locked")]))
        }
        return effects
    }

    mutating func unlock(_ order: Order, _ now: BootTime) -> [Effect] {
        let old = lock
        guard old != nil || marksOwed else { return [.answer(order, .done(killed: false, held: false))] }
        generation += 1
        lock = nil
        marksOwed = false
        return [
            .record(.workerUnlocked, order: order, fields: old.map { [Field("locked_by", $0.by), Field("text", $0.text)] } ?? []),
            .answer(order, .done(killed: false, held: false)),
        ] + judge(now)
    }

    mutating func remark(_ order: Order, _ mark: Mark?) -> [Effect] {
        let new = mark.flatMap { $0.text.isEmpty ? nil : $0 }
        let isChange = new.map { $0.text != remark?.text || $0.by != remark?.by } ?? (remark != nil)
        guard isChange || marksOwed else { return [.answer(order, .done(killed: false, held: false))] }
        remark = new
        marksOwed = false
        return [
            .record(.workerNoted, order: order, fields: new.map { fields(of: $0) } ?? [Field("text", "")]),
            .answer(order, .done(killed: false, held: false)),
        ]
    }

    private func fields(of mark: Mark) -> [Field] { [Field("text", mark.text), Field("unix_us", mark.unixMicroseconds)] }
}
