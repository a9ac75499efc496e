// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IMarketFront} from "../../src/interfaces/IMarketFront.sol";
import {Committee} from "../../src/libraries/Committee.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {Relayers} from "./Relayers.sol";

/// @notice Parties of all kinds who do, in any order, what the rules allow; and time, which passes.
/// @dev Every action picks a job and does something its state may permit. A revert is an answer too.
contract Handler is Relayers {
    /// @dev What a stranger needs at most (`drive`): three rounds of a reseed, nine unanswered demands and the two deadlines
    /// of a round; a pending demand while Scored; `settle`.
    uint256 public constant MOST_CALLS = 3 * 12 + 2;

    bytes32[] public jobs;
    address[] public accounts;
    uint256 public replays; // of what was good once, and was taken again
    uint256 public given; // to the market, without a deposit
    mapping(bytes32 id => bytes) internal _encodedOffers;

    function setUp() public override {
        vm.recordLogs();
        super.setUp();
        _moreSeats(16);
        _book(vm.getRecordedLogs());
        accounts.push(requester);
        accounts.push(makeAddr("requester")); // Base's, whose money is in the ledger too
        accounts.push(stranger);
        accounts.push(makeAddr("parent"));
        for (uint256 i; i < 8; ++i) {
            accounts.push(providers[i]);
            accounts.push(_owner(i));
        }
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

    function accountCount() external view returns (uint256) {
        return accounts.length;
    }

    /* ------------------------------------------------------- requester and providers */

    /// @dev A few jobs at a time: attention spread thin finishes none.
    function open(uint96 price, uint16 bps, uint256 fee) external booked {
        if (_isBusy()) return;
        JobTerms memory terms = _anyTerms(bps, fee);
        bytes32 id = _note(terms, uint96(bound(price, 0, terms.priceCap)));
        (Bid[] memory bids, bytes[] memory signatures) = abi.decode(_encodedOffers[id], (Bid[], bytes[]));
        vm.prank(requester);
        market.open(terms, bids, signatures);
    }

    function post(uint96 price, uint16 bps, uint256 fee) external booked {
        if (_isBusy()) return;
        JobTerms memory terms = _anyTerms(bps, fee);
        _note(terms, uint96(bound(price, 0, terms.priceCap)));
        _post(terms);
    }

    function accept(uint256 job) external booked {
        bytes32 id = _pick(job);
        (Bid[] memory bids, bytes[] memory signatures) = abi.decode(_encodedOffers[id], (Bid[], bytes[]));
        vm.prank(requester);
        market.accept(termsOf(id), bids, signatures);
    }

    function cancel(uint256 job) external booked {
        bytes32 id = _pick(job);
        vm.prank(requester);
        market.cancel(termsOf(id));
    }

    function submit(uint256 job, uint8 lane, bool withoutKeys) external booked {
        _submit(_pick(job), lane % LANES, withoutKeys ? NO_KEYS : WORD);
    }

    function demand(uint256 job, uint256 party, uint256 who, uint256 place) external booked {
        bytes32 id = _pick(job);
        place %= 3;
        party = party % 3 == 2 ? REQUESTER : party % 3;
        address caller = _state(id) == State.Committing ? _seatedAt(id, place) : _party(who);
        vm.prank(caller);
        market.demand(termsOf(id), uint8(party), place);
    }

    function answer(uint256 job, uint256 party) external booked {
        bytes32 id = _pick(job);
        party %= 3;
        vm.prank(party == 2 ? requester : providers[party]);
        market.answer(termsOf(id), party == 2 ? REQUESTER : uint8(party), "");
    }

    /// @dev Seldom: who agrees early leaves nothing to try.
    function agree(uint256 job, uint256 payout, uint256 mood) external booked {
        if (mood % 8 == 0) _relayOutcome(_pick(job), payout);
    }

    /// @dev A job that nobody posted.
    function agreeAtOnce(uint16 bps, uint256 fee, uint256 payout, uint256 mood) external booked {
        if (mood % 4 != 0 || _isBusy()) return;
        _relayOutcome(_note(_anyTerms(bps, fee), 0), payout);
    }

    function appeal(uint256 job, uint256 who) external booked {
        _appeal(_pick(job), who);
    }

    /* ------------------------------------------------------------------------- seats */

    function commit(uint256 job, uint256 place, uint256 choice) external booked {
        bytes32 id = _pick(job);
        (, uint32[] memory seats) = market.committee(id);
        _commitAt(id, seats, place % seats.length, _anyVote(choice));
    }

    function commitEach(uint256 job, uint256 choice) external booked {
        _commitAlone(_pick(job), choice);
    }

    function commitAll(uint256 job, uint256 choice) external booked {
        _commitTogether(_pick(job), choice);
    }

    function reveal(uint256 job, uint256 place) external booked {
        bytes32 id = _pick(job);
        uint8 round = market.getJob(id).round;
        place %= market.getRound(id, round).size;
        _reveal(id, place, _votes[id][round][place]);
    }

    function revealEach(uint256 job) external booked {
        _revealAlone(_pick(job));
    }

    function revealAll(uint256 job) external booked {
        _relayReveals(_pick(job));
    }

    function conclude(uint256 job) external booked {
        _relayWaiver(_pick(job));
    }

    function exit(uint32 seat) external booked {
        seat %= market.seatCount();
        vm.prank(_coldOf(seat));
        market.exit(seat);
        _moreSeats(1); // a market that runs dry accepts no jobs
    }

    function rotate(uint32 seat) external booked {
        seat %= market.seatCount();
        address hot = market.getSeat(seat).hot == stranger ? makeAddr("more hot") : stranger;
        vm.prank(_coldOf(seat));
        market.rotate(seat, hot, 0);
    }

    function unstake(uint32 seat, bool waits) external booked {
        seat %= market.seatCount();
        if (waits && opensAt[seat] > vm.getBlockTimestamp()) vm.warp(opensAt[seat]);
        market.unstake(seat);
    }

    /* ------------------------------------------------------------------------ anybody */

    /// @dev What the parties would do next; mostly all of them.
    function advance(uint256 job, uint256 choice) external booked {
        bytes32 id = _pick(job);
        State state = _state(id);
        _roll(3);
        if (state == State.Running) {
            for (uint8 lane; lane < LANES; ++lane) {
                if ((choice >> lane) % 4 != 0) _submit(id, lane, WORD);
            }
        } else if (state == State.Committing) {
            if (choice % 4 == 0) _commitTogether(id, choice / 4);
            else _commitAlone(id, choice / 4);
        } else if (state == State.Revealing) {
            if (choice % 4 == 0) _relayReveals(id);
            else if (choice % 4 == 1) _relayWaiver(id);
            else _revealAlone(id);
        } else if (choice % 3 != 0) {
            _settleInTime(id);
        } else {
            _appeal(id, choice / 3);
        }
    }

    function close(uint256 job) external booked {
        bytes32 id = _pick(job);
        if (vm.getBlockTimestamp() < market.getJob(id).deadline) vm.warp(market.getJob(id).deadline);
        _roll(3);
        if (_state(id) == State.Open) market.expire(termsOf(id));
        else market.close(id);
    }

    function settle(uint256 job) external booked {
        _settleInTime(_pick(job));
    }

    function pass(uint256 blocks, uint256 time) external {
        _roll(bound(blocks, 1, 300));
        skip(bound(time, 1, 20 minutes));
    }

    function withdraw(uint256 who, uint256 amount) external {
        address account = accounts[who % accounts.length];
        amount = bound(amount, 1, 1e18);
        vm.prank(account);
        market.withdraw(account, amount);
    }

    /// @dev Threat 22: money that nobody deposited is nobody's.
    function give(uint256 amount) external {
        amount = bound(amount, 1, 1e18);
        token.transfer(address(market), amount);
        given += amount;
    }

    /// @dev What was good once is sent again, by those who sent it.
    function replay(uint256 job, uint256 place, uint256 kind) external {
        bytes32 id = _pick(job);
        if (_relayAgain(id, place)) ++replays;
        (address caller, bytes memory call_) = _spent(id, place % 7, kind % 6);
        if (caller == address(0)) return;
        vm.prank(caller);
        (bool isTaken,) = address(market).call(call_);
        if (isTaken) ++replays;
    }

    /// @notice A stranger alone, with deadline moves only, ends a job (P1.1). Returns the number of its calls.
    function drive(bytes32 id) public booked returns (uint256 calls) {
        JobTerms memory terms = termsOf(id);
        vm.startPrank(stranger);
        for (; _state(id) != State.Settled && calls <= MOST_CALLS; ++calls) {
            JobView memory job = market.getJob(id);
            if (vm.getBlockTimestamp() < job.deadline) vm.warp(job.deadline);
            _roll(3);
            if (job.state == State.Open) market.expire(termsOf(id));
            else if (job.state == State.Scored && job.pending == 0) market.settle(terms);
            else market.close(id);
        }
        vm.stopPrank();
    }

    /// @dev What the job holds (P1.4).
    function held(bytes32 id) external view returns (uint256) {
        return _held(id);
    }

    function termsOf(bytes32 id) public view returns (JobTerms memory) {
        return _told(id);
    }

    /* ------------------------------------------------------------------------ choices */

    function _pick(uint256 job) internal view returns (bytes32) {
        return jobs[jobs.length > 3 ? jobs.length - 1 - job % 3 : job % jobs.length];
    }

    /// @dev Of an empty seat a stranger: the zero address calls nobody.
    function _coldOf(uint32 seat) private view returns (address cold) {
        cold = market.getSeat(seat).cold;
        if (cold == address(0)) cold = stranger;
    }

    function _seatedAt(bytes32 id, uint256 place) private returns (address) {
        uint8 round = market.getJob(id).round;
        if (market.getRound(id, round).seats.length == 0) _pin(id);
        return _hotAt(id, place % market.getRound(id, round).size);
    }

    function _isBusy() private view returns (bool) {
        return jobs.length > 2 && _state(jobs[jobs.length - 3]) != State.Settled;
    }

    function _party(uint256 who) private view returns (address) {
        return who % 3 == 2 ? requester : providers[who % 3];
    }

    function _anyTerms(uint16 bps, uint256 fee) private returns (JobTerms memory terms) {
        terms = _termsOf(LANES);
        terms.salt = bytes32(jobs.length);
        terms.fee = uint96(bound(fee, 0.01e18, 6e18));
        terms.parents = new Parent[](1);
        terms.parents[0] = Parent(WORD, makeAddr("parent"), uint16(bound(bps, 0, 2000)));
    }

    function _note(JobTerms memory terms, uint96 price) private returns (bytes32 id) {
        id = _remember(terms);
        jobs.push(id);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, LANES, price);
        _encodedOffers[id] = abi.encode(bids, signatures);
    }

    /// @dev Three of four vote alike: else hardly any round would decide.
    function _voteOf(uint256 place, uint256 choice) private pure returns (bytes32) {
        return _anyVote(choice >> (place % 4 == 0 ? place : 0));
    }

    /// @dev Mostly one truth; now and then a lie or a code.
    function _anyVote(uint256 choice) private pure returns (bytes32 vote) {
        uint32[8] memory values =
            [uint32(900_000), 900_000, 900_000, 900_000, 700_000, Votes.BAD, Votes.MISSING, Votes.NO_DATA];
        vote = Votes.withLane(0, 0, values[choice % 8]);
        vote = Votes.withLane(vote, 1, values[(choice >> 8) % 8]);
    }

    /* -------------------------------------------------------------------------- steps */

    function _appeal(bytes32 id, uint256 who) private {
        vm.prank(_party(who));
        market.appeal(termsOf(id), 0);
    }

    function _settleInTime(bytes32 id) private {
        if (_state(id) != State.Scored || market.getJob(id).pending != 0) return;
        if (vm.getBlockTimestamp() < market.getJob(id).deadline) vm.warp(market.getJob(id).deadline);
        market.settle(termsOf(id));
    }

    /// @dev All who have not yet: without it a committee of 15 would hardly ever be complete.
    function _commitAlone(bytes32 id, uint256 choice) private {
        (, uint32[] memory seats) = market.committee(id);
        uint8 round = market.getJob(id).round;
        for (uint256 place; place < seats.length; ++place) {
            if (seats[place] == Committee.VACANT || _votes[id][round][place] != 0) continue;
            _commitAt(id, seats, place, _voteOf(place, choice));
        }
    }

    function _commitTogether(bytes32 id, uint256 choice) private {
        bytes32[] memory votes = new bytes32[](market.getRound(id, market.getJob(id).round).size);
        for (uint256 place; place < votes.length; ++place) {
            votes[place] = _voteOf(place, choice);
        }
        _relayCommits(id, votes);
    }

    function _commitAt(bytes32 id, uint32[] memory seats, uint256 place, bytes32 vote) private {
        uint8 round = market.getJob(id).round;
        bytes32 hash = _commitment(id, round, seats[place], vote);
        _commitHash(id, round, place, market.getSeat(seats[place]).hot, hash);
        _votes[id][round][place] = vote;
    }

    function _revealAlone(bytes32 id) private {
        uint8 round = market.getJob(id).round;
        RoundView memory stored = market.getRound(id, round);
        for (uint256 place; place < stored.size; ++place) {
            bool isHidden = (stored.committed & ~stored.revealed) >> place & 1 != 0;
            if (isHidden) _reveal(id, place, _votes[id][round][place]);
        }
    }

    function _revealCall(bytes32 id, uint256 place, bytes32 vote) private view returns (bytes memory) {
        (bytes32 before, bytes32[] memory later) = _beside(id, place);
        return abi.encodeCall(IMarketFront.reveal, (id, place, vote, _evidence(vote), SALT, before, later));
    }

    /// @dev A call that succeeded before, and who made it; nobody if there was none of that kind.
    function _spent(bytes32 id, uint256 place, uint256 kind) private view returns (address, bytes memory) {
        JobView memory job = market.getJob(id);
        RoundView memory round = market.getRound(id, job.round);
        bool isCommitted = (round.committed >> place) & 1 != 0;
        bytes32 vote = _votes[id][job.round][place];
        if (kind == 0) return (requester, abi.encodeCall(IMarketFront.post, (termsOf(id))));
        if (kind == 1 && job.state > State.Open) {
            (Bid[] memory bids, bytes[] memory signatures) = abi.decode(_encodedOffers[id], (Bid[], bytes[]));
            return (requester, abi.encodeCall(IMarketFront.accept, (termsOf(id), bids, signatures)));
        }
        if (kind == 2 && job.submitted & 1 != 0) {
            return (providers[0], abi.encodeCall(IMarketFront.submit, (id, 0, WORD)));
        }
        if (kind == 3 && isCommitted) {
            bytes32 hash = _commitment(id, job.round, round.seats[place], vote);
            return (market.getSeat(round.seats[place]).hot, abi.encodeCall(IMarketFront.commit, (id, place, hash)));
        }
        if (kind == 4 && (round.revealed >> place) & 1 != 0) {
            return (stranger, _revealCall(id, place, vote));
        }
        if (kind == 5 && job.state == State.Settled) {
            return (stranger, abi.encodeCall(IMarketFront.settle, (termsOf(id))));
        }
        return (address(0), "");
    }
}
