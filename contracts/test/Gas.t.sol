// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {VmSafe} from "forge-std/Vm.sol";
import {Signing} from "./Signing.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice What a whole job costs in transaction gas, intrinsic cost included, deposits excluded (P6.2).
/// forge-config: default.isolate = true
contract GasTest is Signing {
    string private constant GROUP = "Gas";
    uint256 private _total;
    bool private _isSilent; // no line a step

    // Ratchets at what the roads cost today; they only ever go down. docs/gas.md says what is between them and P6.2.
    uint256 private constant PLAIN_CEILING = 641_000;
    uint256 private constant RELAYED_CEILING = 483_000;
    uint256 private constant COOPERATIVE_CEILING = 150_000;

    function setUp() public override {
        super.setUp();
        _plainJob(keccak256("first job, so that no ledger slot is fresh"), true);
        _total = 0;
    }

    /// @notice P6.2: three validators, one lane, everybody's own transactions, accounts that have been here before.
    function test_plainRoad_doesNotGetDearer() public {
        _plainJob(SALT, true);
        vm.snapshotValue(GROUP, "plain: total", _total);
        assertLe(_total, PLAIN_CEILING);
    }

    /// @notice The same with bids gathered on chain: `post` and `accept` in place of `open` (P2.5).
    function test_plainRoad_withPostAndAccept() public {
        _plainJob(SALT, false);
        vm.snapshotValue(GROUP, "plain: total with post and accept", _total);
    }

    /// @notice P6.2: commits and reveals in two batches, and a waiver with the second one.
    function test_relayedRoad_doesNotGetDearer() public {
        JobTerms memory terms = _terms();
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
        vm.snapshotValue(GROUP, "relayed: total", _total);
        assertLe(_total, RELAYED_CEILING);
    }

    /// @notice P6.2: one transaction for a job that was never posted.
    function test_cooperativeRoad_doesNotGetDearer() public {
        JobTerms memory terms = _terms();
        AgreedLane[] memory lanes = new AgreedLane[](1);
        lanes[0] = AgreedLane(providers[0], WORD, 900_000, 80e18);
        bytes[] memory signatures = new bytes[](2);
        signatures[1] = _signed(providerKeys[0], _outcomeOf(_remember(terms), type(uint64).max, lanes));
        vm.prank(requester); // who sends has signed
        market.agree(terms, lanes, type(uint64).max, signatures);
        _record("cooperative: total");
        assertLe(_total, COOPERATIVE_CEILING);
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
        _moreOwners(32);
        for (uint8 committee = 3; committee <= 7; committee += 2) {
            JobTerms memory terms = _terms();
            terms.committee = committee;
            _snapshotPlain(terms, string.concat("table: validators ", vm.toString(committee)));
        }
    }

    /// @notice P6.2: the plain road with 1, 2, 4 and 8 lanes, all of them paid.
    function test_table_lanes() public {
        for (uint8 lanes = 1; lanes <= 8; lanes *= 2) {
            _snapshotPlain(_termsOf(lanes), string.concat("table: lanes ", vm.toString(lanes)));
        }
    }

    /// @dev Twice, and the second time counts: then no ledger slot is fresh.
    function _snapshotPlain(JobTerms memory terms, string memory name) private {
        _isSilent = true;
        for (uint256 i; i < 2; ++i) {
            _total = 0;
            terms.salt = keccak256(abi.encode(name, i));
            _playPlain(terms, true);
        }
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

    function _plainJob(bytes32 salt, bool opens) private {
        JobTerms memory terms = _terms();
        terms.salt = salt;
        _playPlain(terms, opens);
    }

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

    function _record(string memory name) private {
        if (!_isSilent) {
            _total += vm.snapshotGasLastCall(GROUP, name);
            return;
        }
        VmSafe.Gas memory last = vm.lastCallGas();
        _total += last.gasTotalUsed - uint64(last.gasRefunded); // as the snapshot counts
    }
}
