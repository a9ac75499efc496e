// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Floor} from "./Floor.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice What a whole job costs in transaction gas, intrinsic cost included, deposits excluded (P6.2).
/// forge-config: default.isolate = true
contract GasTest is Floor {
    string private constant GROUP = "Gas";
    uint256 private _total;
    bool private _isSilent; // no line a step
    bool private _isBilled; // counts what the floor is made of, not gas: recording slots changes what calls cost here

    // Ratchets at what the roads cost today; they only ever go down. docs/gas.md says what is between them and P6.2.
    uint256 private constant PLAIN_CEILING = 646_000;
    uint256 private constant RELAYED_CEILING = 487_000;
    uint256 private constant COOPERATIVE_CEILING = 150_000;

    function setUp() public override {
        super.setUp();
        _isSilent = true;
        _playPlain(_terms(), true); // the first job, so that no ledger slot is fresh
        (_isSilent, _total) = (false, 0);
    }

    /// @notice P6.2: three validators, one lane, everybody's own transactions, accounts that have been here before.
    function test_plainRoad_doesNotGetDearer() public {
        _playPlain(_ofManyOwners(_terms(), "plain"), true);
        vm.snapshotValue(GROUP, "plain: total", _total);
        assertLe(_total, PLAIN_CEILING);
    }

    /// @notice The same with bids gathered on chain: `post` and `accept` in place of `open` (P2.5).
    function test_plainRoad_withPostAndAccept() public {
        _playPlain(_ofManyOwners(_terms(), "plain"), false);
        vm.snapshotValue(GROUP, "plain: total with post and accept", _total);
    }

    /// @notice P6.2: commits and reveals in two batches, and a waiver with the second one.
    function test_relayedRoad_doesNotGetDearer() public {
        _playRelayed();
        vm.snapshotValue(GROUP, "relayed: total", _total);
        assertLe(_total, RELAYED_CEILING);
    }

    /// @notice P6.2: one transaction for a job that was never posted.
    function test_cooperativeRoad_doesNotGetDearer() public {
        _playCooperative();
        assertLe(_total, COOPERATIVE_CEILING);
    }

    /// @notice docs/gas.md: below what each figure cannot be.
    function test_floors() public {
        _isBilled = true;
        _playPlain(_ofManyOwners(_terms(), "plain"), true);
        _snapshotFloor("plain");
        _playRelayed();
        _snapshotFloor("relayed");
        _playCooperative();
        _snapshotFloor("cooperative");
        _tableOfLanes();
        _tableOfValidators();
    }

    function _playRelayed() private {
        JobTerms memory terms = _ofManyOwners(_terms(), "relayed");
        bytes32 id = _opened(terms);
        _record("relayed: open");
        _submit(id, 0, WORD);
        _record("relayed: submit");
        _roll(3);
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        vm.prank(_hotAtDraw(id, 0)); // a seat's node sends, and so has signed
        signatures[0] = "";
        market.commitAll(id, hashes, signatures);
        _record("relayed: commitAll");
        Opening[] memory openings = _openings(id);
        bytes[] memory waivers = _waivers(id, VOTE);
        vm.prank(requester);
        waivers[0] = "";
        market.conclude(terms, openings, waivers);
        _record("relayed: conclude");
    }

    function _playCooperative() private {
        JobTerms memory terms = _ofManyOwners(_terms(), "cooperative");
        AgreedLane[] memory lanes = new AgreedLane[](1);
        lanes[0] = AgreedLane(providers[0], WORD, 900_000, 80e18);
        bytes[] memory signatures = new bytes[](2);
        signatures[1] = _signed(providerKeys[0], _outcomeOf(_remember(terms), type(uint64).max, lanes));
        vm.prank(requester); // who sends has signed
        market.agree(terms, lanes, type(uint64).max, signatures);
        _record("cooperative: total");
    }

    function _hotAtDraw(bytes32 id, uint256 place) private view returns (address) {
        (, uint32[] memory seats) = market.committee(id);
        return market.getSeat(seats[place]).hot;
    }

    function _opened(JobTerms memory terms) private returns (bytes32 id) {
        id = _remember(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, terms.lanes, PRICE);
        vm.prank(requester);
        market.open(terms, bids, signatures);
    }

    /* ------------------------------------------------------------- what more of something costs */

    /// @notice P6.2: the plain road with committees of 3, 5 and 7.
    function test_table_validators() public {
        _tableOfValidators();
    }

    /// @notice P6.2: the plain road with 1, 2, 4 and 8 lanes, all of them paid.
    function test_table_lanes() public {
        _tableOfLanes();
    }

    function _tableOfValidators() private {
        _moreOwners(32);
        for (uint8 committee = 3; committee <= 7; committee += 2) {
            JobTerms memory terms = _terms();
            terms.committee = committee;
            _snapshotPlain(terms, string.concat("table: validators ", vm.toString(committee)));
        }
    }

    function _tableOfLanes() private {
        for (uint8 lanes = 1; lanes <= 8; lanes *= 2) {
            _snapshotPlain(_termsOf(lanes), string.concat("table: lanes ", vm.toString(lanes)));
        }
    }

    /// @dev Twice, and the second time counts: then no ledger slot is fresh.
    function _snapshotPlain(JobTerms memory terms, string memory name) private {
        _isSilent = true;
        for (uint256 i; i < 2; ++i) {
            _total = 0;
            _playPlain(_ofManyOwners(terms, string.concat(name, i == 0 ? " first" : "")), true);
        }
        if (_isBilled) return _snapshotFloor(name);
        _isSilent = false;
        vm.snapshotValue(GROUP, name, _total);
    }

    /// @dev Bigger committees want more live seats (P2.2), of owners who have been here before.
    function _moreOwners(uint256 count) private {
        for (uint256 i = OWNERS; i < OWNERS + count; ++i) {
            _fund(_owner(i), 2 * STAKE);
            vm.prank(_owner(i));
            market.stake(1, _hot(i), 0);
        }
        _roll(1);
    }

    /* ------------------------------------------------------------------------------------ a job */

    function _playPlain(JobTerms memory terms, bool opens) private {
        bytes32 id;
        if (opens) {
            id = _opened(terms);
            _record("plain: open");
        } else {
            id = _post(terms);
            _record("plain: post");
            (Bid[] memory bids, bytes[] memory signatures) = _offers(id, terms.lanes, PRICE);
            vm.prank(requester);
            market.accept(terms, bids, signatures);
            _record("plain: accept");
        }
        bytes32 vote;
        for (uint8 lane; lane < terms.lanes; ++lane) {
            _submit(id, lane, WORD);
            _record("plain: submit");
            vote = Votes.withLane(vote, lane, 900_000);
        }
        _commitReveal(id, vote);
        _settle(terms);
        _record("plain: settle");
    }

    function _commitReveal(bytes32 id, bytes32 vote) private {
        _roll(3);
        (, uint32[] memory seats) = market.committee(id);
        for (uint256 place; place < seats.length; ++place) {
            bytes32 hash = _commitment(id, 1, seats[place], vote);
            _commitHash(id, 1, place, market.getSeat(seats[place]).hot, hash);
            _record(string.concat("plain: commit ", vm.toString(place)));
        }
        for (uint256 place; place < seats.length; ++place) {
            _reveal(id, place, vote);
            _record(string.concat("plain: reveal ", vm.toString(place)));
        }
    }

    /// @dev Terms whose draw has as many owners as places: an owner drawn twice is paid into one slot, 4,800 gas less.
    function _ofManyOwners(JobTerms memory terms, string memory name) private returns (JobTerms memory) {
        for (uint256 i;; ++i) {
            terms.salt = keccak256(abi.encode(name, i));
            uint256 before = vm.snapshotState();
            bytes32 id = _drawn(terms);
            bool isFound = _isOfManyOwners(market.getRound(id, 1).seats);
            vm.revertToState(before);
            if (!isFound) continue;
            if (_isBilled) _startBill();
            return terms;
        }
    }

    function _isOfManyOwners(uint32[] memory seats) private view returns (bool) {
        for (uint256 i; i < seats.length; ++i) {
            for (uint256 j; j < i; ++j) {
                if (market.getSeat(seats[i]).cold == market.getSeat(seats[j]).cold) return false;
            }
        }
        return true;
    }

    /// @dev The last call's gas, intrinsic cost included and refunds taken off.
    function _record(string memory name) private {
        if (_isBilled) _billLast();
        else if (_isSilent) _total += vm.lastCallGas().gasTotalUsed;
        else _total += vm.snapshotGasLastCall(GROUP, name);
    }

    function _snapshotFloor(string memory name) private {
        vm.snapshotValue(GROUP, string.concat("floor: ", name), _floor());
        emit log_named_uint(string.concat(name, ", transactions"), _bill.transactions);
        emit log_named_uint("fresh slots", _bill.fresh);
        emit log_named_uint("changed slots", _bill.changed);
        emit log_named_uint("gas of logs", _bill.logs);
    }
}
