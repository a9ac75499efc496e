// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "../Base.t.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Committee} from "../../src/libraries/Committee.sol";
import {Votes} from "../../src/libraries/Votes.sol";

/// @notice Parties of all kinds who do, in any order, what the rules allow; and time, which passes.
/// @dev Every action picks a job and does something its state may permit. A revert is an answer too.
contract Handler is Base {
    uint8 private constant LANES = 2;

    bytes32[] public jobs;
    mapping(bytes32 id => mapping(uint8 round => mapping(uint256 place => bytes32))) private _votes;
    mapping(bytes32 id => uint256) public settlements;
    address[] public accounts;

    function setUp() public override {
        super.setUp();
        accounts.push(requester);
        accounts.push(stranger);
        accounts.push(makeAddr("parent"));
        for (uint256 i; i < 8; ++i) {
            accounts.push(providers[i]);
            accounts.push(_owner(i));
            accounts.push(_hot(i));
        }
        _moreSeats(16);
        accounts.push(makeAddr("more seats"));
        accounts.push(makeAddr("more hot"));
    }

    function marketUnderTest() external view returns (IMarket) {
        return market;
    }

    function tokenUnderTest() external view returns (ERC20Permit) {
        return token;
    }

    function jobCount() external view returns (uint256) {
        return jobs.length;
    }

    /// @dev What the job holds (P1.4).
    function held(bytes32 id) external view returns (uint256) {
        return _held(id);
    }

    function accountCount() external view returns (uint256) {
        return accounts.length;
    }

    /* ------------------------------------------------------------------ actions */

    /// @dev A few jobs at a time: attention spread thin finishes none.
    function open(uint96 price, uint16 bps, uint256 fee) external {
        if (jobs.length > 2 && _state(jobs[jobs.length - 3]) != State.Settled) return;
        JobTerms memory terms = _termsOf(LANES);
        terms.salt = bytes32(jobs.length);
        terms.fee = uint96(bound(fee, 0.01e18, 6e18));
        terms.parents = new Parent[](1);
        terms.parents[0] = Parent(WORD, makeAddr("parent"), uint16(bound(bps, 0, 2000)));
        bytes32 id = _remember(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, LANES, uint96(bound(price, 0, terms.priceCap)));
        vm.prank(requester);
        market.open(terms, bids, signatures);
        jobs.push(id);
    }

    /// @dev What the parties would do next; mostly all of them.
    function advance(uint256 job, uint256 choice) external {
        bytes32 id = _pick(job);
        State state = _state(id);
        _roll(3);
        if (state == State.Running) {
            for (uint8 lane; lane < LANES; ++lane) {
                if ((choice >> lane) % 4 != 0) _submit(id, lane, WORD);
            }
        } else if (state == State.Committing) {
            this.commitAll(job, choice);
        } else if (state == State.Revealing) {
            this.revealAll(job);
        } else if (choice % 3 != 0) {
            this.settle(job);
        } else {
            this.appeal(job, choice / 3);
        }
    }

    function submit(uint256 job, uint8 lane, bool withoutKeys) external {
        _submit(_pick(job), lane % LANES, withoutKeys ? NO_KEYS : WORD);
    }

    function commit(uint256 job, uint256 place, uint256 choice) external {
        bytes32 id = _pick(job);
        uint8 round = market.getJob(id).round;
        place %= market.getRound(id, round).size;
        (, uint32[] memory seats) = market.committee(id);
        bytes32 vote = _anyVote(choice);
        bytes32 hash = _commitment(id, round, seats[place], vote);
        _commitHash(id, round, place, market.getSeat(seats[place]).hot, hash);
        _votes[id][round][place] = vote;
    }

    /// @dev All who have not yet: without it a committee of 15 would hardly ever be complete.
    function commitAll(uint256 job, uint256 choice) external {
        bytes32 id = _pick(job);
        uint8 round = market.getJob(id).round;
        (, uint32[] memory seats) = market.committee(id);
        for (uint256 place; place < seats.length; ++place) {
            bytes32 vote = _anyVote(choice >> (place % 4 == 0 ? place : 0));
            if (seats[place] == Committee.VACANT || _votes[id][round][place] != 0) continue;
            bytes32 hash = _commitment(id, round, seats[place], vote);
            _commitHash(id, round, place, market.getSeat(seats[place]).hot, hash);
            _votes[id][round][place] = vote;
        }
    }

    function reveal(uint256 job, uint256 place) external {
        bytes32 id = _pick(job);
        uint8 round = market.getJob(id).round;
        place %= market.getRound(id, round).size;
        _reveal(id, place, _votes[id][round][place]);
    }

    function revealAll(uint256 job) external {
        bytes32 id = _pick(job);
        uint8 round = market.getJob(id).round;
        RoundView memory stored = market.getRound(id, round);
        for (uint256 place; place < stored.size; ++place) {
            bool isHidden = (stored.committed & ~stored.revealed) >> place & 1 != 0;
            if (isHidden) _reveal(id, place, _votes[id][round][place]);
        }
    }

    function demand(uint256 job, uint256 party, uint256 who, uint256 place) external {
        bytes32 id = _pick(job);
        place %= 7;
        party = party % 3 == 2 ? REQUESTER : party % 3;
        address caller = _state(id) == State.Committing ? _hotAt(id, place) : _party(who);
        vm.prank(caller);
        market.demand(_told(id), uint8(party), place);
    }

    function answer(uint256 job, uint256 party) external {
        bytes32 id = _pick(job);
        party %= 3;
        vm.prank(party == 2 ? requester : providers[party]);
        market.answer(_told(id), party == 2 ? REQUESTER : uint8(party), "");
    }

    function appeal(uint256 job, uint256 who) external {
        bytes32 id = _pick(job);
        vm.prank(_party(who));
        market.appeal(_told(id), 0);
    }

    function close(uint256 job) external {
        bytes32 id = _pick(job);
        if (vm.getBlockTimestamp() < market.getJob(id).deadline) vm.warp(market.getJob(id).deadline);
        _roll(3);
        market.close(id);
    }

    function settle(uint256 job) external {
        bytes32 id = _pick(job);
        if (_state(id) != State.Scored || market.getJob(id).pending != 0) return;
        if (vm.getBlockTimestamp() < market.getJob(id).deadline) vm.warp(market.getJob(id).deadline);
        market.settle(_told(id));
        ++settlements[id];
    }

    function pass(uint256 blocks, uint256 time) external {
        _roll(bound(blocks, 1, 300));
        skip(bound(time, 1, 20 minutes));
    }

    function exit(uint32 seat) external {
        seat %= market.seatCount();
        vm.prank(market.getSeat(seat).cold);
        market.exit(seat);
        _moreSeats(1); // a market that runs dry accepts no jobs
    }

    function unstake(uint32 seat) external {
        market.unstake(seat % market.seatCount());
    }

    function withdraw(uint256 who, uint256 amount) external {
        address account = accounts[who % accounts.length];
        amount = bound(amount, 1, 1e18);
        vm.prank(account);
        market.withdraw(account, amount);
    }

    /* ------------------------------------------------------------------ choices */

    function _pick(uint256 job) private view returns (bytes32) {
        return jobs[jobs.length > 3 ? jobs.length - 1 - job % 3 : job % jobs.length];
    }

    function _party(uint256 who) private view returns (address) {
        return who % 3 == 2 ? requester : providers[who % 3];
    }

    /// @dev Mostly one truth; now and then a lie or a code.
    function _anyVote(uint256 choice) private pure returns (bytes32 vote) {
        uint32[8] memory values =
            [uint32(900_000), 900_000, 900_000, 900_000, 700_000, Votes.BAD, Votes.MISSING, Votes.NO_DATA];
        vote = Votes.withLane(0, 0, values[choice % 8]);
        vote = Votes.withLane(vote, 1, values[(choice >> 8) % 8]);
    }
}
