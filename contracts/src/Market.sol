// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {IMarketFront} from "./interfaces/IMarketFront.sol";
import {Messages} from "./libraries/Messages.sol";
import {Terms} from "./libraries/Terms.sol";
import {Relay} from "./Relay.sol";
import {Rounds} from "./Rounds.sol";
import {Rules} from "./Rules.sol";
import {Seats} from "./Seats.sol";
import {Signatures} from "./Signatures.sol";

/// @title Market: the only contract that holds money
/// @notice No owner, no upgrade, no pause (P1.2). The interface says what every function does.
/// @dev Read on in the order of a job's life: Ledger, Seats, Jobs (storage), here, Rounds, Voting, Settlement, Relay; then Resolution,
/// which has the code of the calls that few jobs need.
contract Market is Signatures, Rules, Relay {
    address private immutable _RESOLUTION;

    /// @param resolution where a Resolution is, deployed before and for this market alone or for several: it holds nothing.
    /// What it was constructed with is what this market is constructed with (P1.5), so that the halves cannot differ.
    /// @dev Warning: no constructor can tell Resolution's code from another that answers alike. Whoever trusts a market
    /// compares both codes and both creations (docs/deploying.md; `heldout network verify` does it).
    constructor(address resolution)
        Rules(
            IMarketBack(resolution).seatStake(), IMarketBack(resolution).minimumFee(), IMarketBack(resolution).limits()
        )
        Seats(IMarketBack(resolution).seatStake(), IMarketBack(resolution).exitDelay())
        Rounds(IMarketBack(resolution).beacon())
    {
        _RESOLUTION = resolution;
    }

    /// @dev All other functions of IMarket. Resolution's code runs on this contract's storage and balance; the address is
    /// immutable, so nobody can put other code there (docs/decisions/0020).
    fallback(bytes calldata call) external returns (bytes memory) {
        (bool isDone, bytes memory answer) = _RESOLUTION.delegatecall(call); // it has code: the constructor asked it
        return Address.verifyCallResult(isDone, answer);
    }

    /// @inheritdoc IMarketFront
    function post(JobTerms calldata terms) external returns (bytes32 id) {
        id = _idOf(terms);
        Job storage job = _post(id, terms);
        _escrow(id, terms, uint256(terms.lanes) * terms.priceCap);
        _setDeadline(id, job, block.timestamp + terms.bidWindow);
    }

    /// @inheritdoc IMarketFront
    function accept(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures) external {
        bytes32 id = _idOf(terms);
        Job storage job = _jobs[id];
        _requireState(id, job, State.Open);
        if (msg.sender != terms.requester) revert NotRequester(msg.sender, terms.requester);
        _requireBefore(job.deadline);
        uint256 value = _accept(id, job, terms, bids, signatures);
        uint256 unused = uint256(terms.lanes) * terms.priceCap - value;
        if (unused == 0) return;
        _credit(msg.sender, unused);
        emit Paid(id, msg.sender, Purpose.Refund, unused);
    }

    /// @inheritdoc IMarketFront
    function open(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures)
        external
        returns (bytes32 id)
    {
        id = _idOf(terms);
        Job storage job = _post(id, terms);
        _escrow(id, terms, _accept(id, job, terms, bids, signatures));
    }

    /// @inheritdoc IMarketFront
    function cancelBid(uint256 nonce) external {
        _spentNonces[msg.sender][nonce >> 8] |= 1 << (nonce & 0xff);
        emit BidCancelled(msg.sender, nonce);
    }

    /// @inheritdoc IMarketFront
    function submit(bytes32 id, uint8 lane, bytes32 word) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Running);
        _requireBefore(job.deadline);
        if (lane >= job.lanes || job.lane[lane].provider != msg.sender) revert NotProvider(msg.sender, lane);
        uint8 bit = uint8(1) << lane;
        if (job.submitted & bit != 0) revert AlreadySubmitted(id, lane);
        if (word == 0) revert ZeroWord();
        if (word == _NO_KEYS) {
            bool isAnswered = (job.asked.demanded & ~job.asked.pending) >> _REQUESTER & 1 != 0;
            if (!isAnswered) revert KeysNotAnswered(id);
            job.asked.noKeys |= bit;
        }
        uint8 submitted = job.submitted | bit;
        job.submitted = submitted;
        job.lane[lane].word = word;
        emit Submitted(id, msg.sender, lane, word);
        if (submitted == _allLanes(job)) _startRound(id, job);
    }

    /// @inheritdoc IMarketFront
    function settle(JobTerms calldata terms) external {
        bytes32 id = _idOf(terms);
        Job storage job = _jobs[id];
        _requireState(id, job, State.Scored);
        if (_pending(job) != 0) revert DemandPending(id, job.asked.pending);
        _requireAfter(job.deadline);
        _settle(id, job, terms);
    }

    function _post(bytes32 id, JobTerms calldata terms) private returns (Job storage job) {
        if (msg.sender != terms.requester) revert NotRequester(msg.sender, terms.requester);
        job = _jobs[id];
        if (job.state != State.None) revert JobExists(id);
        Terms.check(terms, _limits(), _MINIMUM_FEE, _SEAT_STAKE);
        (job.state, job.lanes, job.committee) = (State.Open, terms.lanes, terms.committee);
        emit Posted(id, msg.sender, terms);
    }

    function _escrow(bytes32 id, JobTerms calldata terms, uint256 prices) private {
        uint256 amount = prices + uint256(terms.committee) * terms.fee + terms.bond;
        _debit(msg.sender, amount);
        emit Locked(id, msg.sender, Purpose.Refund, amount);
    }

    /// @dev Returns V, the sum of the bids.
    function _accept(
        bytes32 id,
        Job storage job,
        JobTerms calldata terms,
        Bid[] calldata bids,
        bytes[] calldata signatures
    ) private returns (uint256 value) {
        uint256 lanes = bids.length;
        if (lanes == 0 || lanes > terms.lanes || signatures.length != lanes) revert WrongBidCount(lanes, terms.lanes);
        _requireEnoughSeats(terms.committee);
        for (uint256 lane; lane < lanes; ++lane) {
            _requireValid(id, terms, bids[lane], signatures[lane]);
            value += bids[lane].price;
            _bind(id, job, lane, bids[lane], terms.collateral);
        }
        _requireCovered(terms, value);
        job.lanes = uint8(lanes); // at most terms.lanes
        _fix(job, terms);
        emit Accepted(id, bids, job.seatCount);
        _enter(id, job, State.Running, terms.workWindow);
    }

    /// @dev Whether these terms and that bid fit, and the provider said so.
    function _requireValid(bytes32 id, JobTerms calldata terms, Bid calldata bid, bytes calldata signature)
        private
        view
    {
        if (bid.job != id) revert BidForOtherJob(id, bid.job);
        if (block.timestamp > bid.validUntil) revert BidExpired(block.timestamp, bid.validUntil);
        if (bid.price > terms.priceCap) revert BidAboveCap(bid.price, terms.priceCap);
        if (_isSpent(bid.provider, bid.nonce)) revert BidSpent(bid.provider, bid.nonce);
        _requireSigned(bid.provider, Messages.hash(bid), signature);
    }

    function _bind(bytes32 id, Job storage job, uint256 lane, Bid calldata bid, uint96 collateral) private {
        for (uint256 i; i < lane; ++i) {
            if (job.lane[i].provider == bid.provider) revert DuplicateProvider(bid.provider);
        }
        (job.lane[lane].provider, job.lane[lane].price) = (bid.provider, bid.price);
        _debit(bid.provider, collateral);
        emit Locked(id, bid.provider, Purpose.Collateral, collateral);
    }

    /// @dev What decides the job must be worth more than the job (P2.2).
    function _requireCovered(JobTerms calldata terms, uint256 value) private view {
        uint256 greatest = uint256(_SEAT_STAKE) * (terms.committee + 1) / 4;
        if (value > greatest) revert StakeTooSmall(value, greatest);
        uint256 least = (value + 4) / 5; // 20 %, rounded up
        if (terms.bond < least) revert BondTooSmall(terms.bond, least);
    }

    function _requireEnoughSeats(uint256 n) private view {
        (uint256 live, uint256 quarter) = (_liveSeats, (uint256(_seatCount) + 3) / 4);
        uint256 least = 8 * n > quarter ? 8 * n : quarter;
        if (live < least) revert TooFewSeats(live, least);
    }

    /// @dev Slot 1 of the job: fixed from here on, for all rounds.
    function _fix(Job storage job, JobTerms calldata terms) private {
        job.acceptBlock = uint40(block.number);
        job.seatCount = _seatCount;
        // Rules bounds all windows by 24 bits
        job.commitWindow = uint24(terms.commitWindow);
        job.revealWindow = uint24(terms.revealWindow);
        job.challengeWindow = uint24(terms.challengeWindow);
    }
}
